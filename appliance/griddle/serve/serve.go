// Package serve is `griddle serve`, the appliance itself, and `griddle config`, which looks at its configuration.
package serve

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"griddle/appliance"
	"griddle/appliance/config"
	"griddle/appliance/fleet"
	"griddle/appliance/griddle/cli"
)

// serveFlags are the settings that may be given on the command line too; those that are override the file.
type serveFlags struct {
	config, iface, address, mode, pool string
	http, https                        int
	stateDir, store, bootDir           string
	unknown, logLevel, logFormat       string
}

func Command(e *cli.Env) *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "Answer machines that boot from the network",
		Long: "Serve DHCP or proxyDHCP, TFTP, HTTP and HTTPS on one interface until SIGTERM or SIGINT.\n\n" +
			"The configuration is read from --config, else from " + config.Path + " if that is there; flags\n" +
			"override it. `griddle config example` prints every key with its default and what it means.\n" +
			"SIGHUP makes it read the configuration again: a bad one changes nothing, and the log says what is wrong with it.\n" +
			"It also says which of the changes need a restart, such as the interface, the ports and the DHCP mode. Flags stay as\n" +
			"they are.\n" +
			"The first start makes a CA, a site key and an administrator's token in the state directory.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			// Before anything else: the default action of SIGHUP is to end the process.
			reload := make(chan os.Signal, 1)
			signal.Notify(reload, syscall.SIGHUP)
			defer signal.Stop(reload)
			conf, err := f.read(c)
			if err != nil {
				return err
			}
			level := &slog.LevelVar{}
			level.Set(conf.Log.SlogLevel())
			err = appliance.Serve(c.Context(), conf, appliance.Options{
				Log:    newLogger(e.Stderr, conf.Log.Format, level),
				Reload: reload,
				Read:   func() (config.Config, error) { return f.read(c) },
				Level:  level,
				Ready: func(s appliance.Started) {
					fmt.Fprintf(e.Stdout, "griddle serves on %s: %s and %s\n", s.Interface, s.HTTP, s.HTTPS)
				},
			})
			return advised(err)
		},
	}
	d := config.Default()
	c.Flags().StringVar(&f.config, "config", "", "configuration `FILE`")
	c.Flags().StringVarP(&f.iface, "interface", "i", "", "provisioning network's `IFACE`")
	c.Flags().StringVar(&f.address, "address", "", "our IPv4 `ADDRESS` there (default: its first)")
	c.Flags().StringVar(&f.mode, "mode", d.DHCP.Mode, "proxy, beside another DHCP server; or dhcp, as the only one")
	c.Flags().StringVar(&f.pool, "pool", "", "addresses to lease in mode dhcp, `FIRST-LAST`")
	c.Flags().IntVar(&f.http, "http", d.HTTP, "`PORT` for boot files and images")
	c.Flags().IntVar(&f.https, "https", d.HTTPS, "`PORT` for agents, operators and publishers")
	c.Flags().StringVar(&f.stateDir, "state-dir", d.StateDir, "`DIR` of keys, machines, jobs and leases")
	c.Flags().StringVar(&f.store, "store", "", "image store's `DIR` (default: store in the state directory)")
	c.Flags().StringVar(&f.bootDir, "boot-dir", "", "`DIR` of kernel, initramfs and loaders (default: build/boot, then /usr/lib/griddle/boot)")
	c.Flags().StringVar(&f.unknown, "unknown-machines", string(d.Unknown), "what a machine without job or installed system boots: menu, agent or local")
	c.Flags().StringVar(&f.logLevel, "log-level", d.Log.Level, "debug, info, warn or error")
	c.Flags().StringVar(&f.logFormat, "log-format", d.Log.Format, "text or json")
	return c
}

// read makes the configuration of the file and the flags.
func (f *serveFlags) read(c *cobra.Command) (config.Config, error) {
	conf, err := f.readFile()
	if err != nil {
		return conf, err
	}
	for name, set := range map[string]func() error{
		"interface": func() error { conf.Interface = f.iface; return nil },
		"address": func() (err error) {
			conf.Address, err = netip.ParseAddr(f.address)
			return err
		},
		"mode":             func() error { conf.DHCP.Mode = f.mode; return nil },
		"pool":             func() error { conf.DHCP.Pool = f.pool; return nil },
		"http":             func() error { conf.HTTP = f.http; return nil },
		"https":            func() error { conf.HTTPS = f.https; return nil },
		"state-dir":        func() error { conf.StateDir = f.stateDir; return nil },
		"store":            func() error { conf.Store = f.store; return nil },
		"boot-dir":         func() error { conf.BootDir = f.bootDir; return nil },
		"unknown-machines": func() error { conf.Unknown = fleet.Policy(f.unknown); return nil },
		"log-level":        func() error { conf.Log.Level = f.logLevel; return nil },
		"log-format":       func() error { conf.Log.Format = f.logFormat; return nil },
	} {
		if !c.Flags().Changed(name) {
			continue
		}
		if err := set(); err != nil {
			return conf, cli.Usagef("--%s: %w", name, err)
		}
	}
	if err := conf.Validate(); err != nil {
		return conf, cli.Usage(err)
	}
	return conf, nil
}

func (f *serveFlags) readFile() (config.Config, error) {
	if f.config != "" {
		return config.Read(f.config)
	}
	conf, err := config.Read(config.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return config.Default(), nil
	}
	return conf, err
}

// advised gives an error of the appliance its hint.
func advised(err error) error {
	var a appliance.Advice
	if errors.As(err, &a) {
		return cli.WithHint(err, "%s", a.Do)
	}
	return err
}

// newLogger writes structured lines of level and above to w.
func newLogger(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
