// Package serve is `griddle serve`, the server itself, and `griddle config`, which looks at its configuration.
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

// Command is `griddle serve`.
func Command(e *cli.Env) *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the server that machines boot from",
		Long: "Serve DHCP or proxyDHCP, TFTP, HTTP and HTTPS on one interface until SIGTERM or SIGINT.\n\n" +
			"The server reads its configuration from --config or, if it exists, from " + config.Path + ".\n" +
			"Flags override the file. `griddle config example` prints all keys with their defaults.\n\n" +
			"On SIGHUP it reads the file again. A file with mistakes changes nothing, and the log lists the\n" +
			"mistakes. The log also says which changes need a restart, such as the interface, the ports and the\n" +
			"DHCP mode. Flags stay the same.\n\n" +
			"The first start creates a CA, a site key and an administrator's token in the state directory.",
		Example: "  griddle serve --interface eth1\n" +
			"  griddle serve --interface eth1 --mode dhcp --pool 10.0.0.100-10.0.0.200",
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
	c.Flags().StringVar(&f.address, "address", "", "IPv4 `ADDRESS` of the server there (default: the first of the "+
		"interface)")
	c.Flags().StringVar(&f.mode, "mode", d.DHCP.Mode, "`MODE`: proxy, beside another DHCP server; or dhcp, as the "+
		"only one")
	c.Flags().StringVar(&f.pool, "pool", "", "addresses to lease in mode dhcp, `FIRST-LAST`")
	c.Flags().IntVar(&f.http, "http", d.HTTP, "`PORT` for boot files and images")
	c.Flags().IntVar(&f.https, "https", d.HTTPS, "`PORT` for agents, operators and publishers")
	c.Flags().StringVar(&f.stateDir, "state-dir", d.StateDir, "the server's state `DIR`: keys, machines, jobs and "+
		"leases")
	c.Flags().StringVar(&f.store, "store", "", "local image store `DIR` (default: store in the state directory)")
	c.Flags().StringVar(&f.bootDir, "boot-dir", "", "`DIR` of kernel, initramfs and loaders (default: build/boot, "+
		"then /usr/lib/griddle/boot)")
	c.Flags().StringVar(&f.unknown, "unknown-machines", string(d.Unknown), "`WHAT` a machine without a job or an "+
		"installed system boots: menu, agent or local")
	c.Flags().StringVar(&f.logLevel, "log-level", d.Log.Level, "`LEVEL` of the log: debug, info, warn or error")
	c.Flags().StringVar(&f.logFormat, "log-format", d.Log.Format, "`FORMAT` of the log: text or json")
	for flag, words := range map[string][]string{
		"mode": {"proxy", "dhcp"}, "unknown-machines": {"menu", "agent", "local"}, "log-level": {"debug", "info",
			"warn", "error"}, "log-format": {"text", "json"},
	} {
		cli.CompleteFlag(c, flag, cli.Words(words...))
	}
	return cli.Raw(c)
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

// advised adds the hint that an error of the server has.
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
