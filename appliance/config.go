package appliance

import (
	_ "embed"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"griddle/appliance/fleet"
	"griddle/netboot"
	"griddle/netboot/bootscript"
)

// DefaultFile is the configuration with every key, its default and what it means.
//
//go:embed griddle.yaml
var DefaultFile string

// DefaultPath is where the configuration is looked for when none is named.
const DefaultPath = "/etc/griddle/griddle.yaml"

// Config is the configuration; DefaultFile says what each key means. Start from DefaultConfig.
type Config struct {
	Interface   string        `yaml:"interface"`
	Address     netip.Addr    `yaml:"address"`
	DHCP        DHCP          `yaml:"dhcp"`
	HTTP        int           `yaml:"http"`
	HTTPS       int           `yaml:"https"`
	BootDir     string        `yaml:"boot_dir"`
	StateDir    string        `yaml:"state_dir"`
	Store       string        `yaml:"store"`
	Unknown     fleet.Policy  `yaml:"unknown_machines"`
	MenuTimeout time.Duration `yaml:"menu_timeout"`
	KernelArgs  []string      `yaml:"kernel_args"`
	Keymap      string        `yaml:"keymap"`
	Hostname    string        `yaml:"hostname"`

	CatalogExpires time.Duration `yaml:"catalog_expires"`
	Recompress     bool          `yaml:"recompress"`
	Images         string        `yaml:"images"`

	Multicast Multicast `yaml:"multicast"`

	Log LogConfig `yaml:"log"`
}

// Multicast is how many machines at once get an image.
type Multicast struct {
	Enabled  bool          `yaml:"enabled"`
	Rate     int           `yaml:"rate"` // Mbit/s; 0 is four fifths of the link's, 200 at most
	Gather   time.Duration `yaml:"gather"`
	Machines int           `yaml:"machines"`
	Groups   netip.Prefix  `yaml:"groups"`
	Port     int           `yaml:"port"`
	TTL      int           `yaml:"ttl"`
}

// DHCP is how the network gets its addresses.
type DHCP struct {
	Mode   string         `yaml:"mode"`
	Relays []netip.Prefix `yaml:"relay_networks"`
	Pool   string         `yaml:"pool"`
	Router netip.Addr     `yaml:"router"`
	DNS    []netip.Addr   `yaml:"dns"`
	Lease  time.Duration  `yaml:"lease"`
	Probe  time.Duration  `yaml:"probe"`
	Other  string         `yaml:"other_server"`
}

// LogConfig is how much is logged, and how.
type LogConfig struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

// The DHCP modes.
const (
	ModeProxy = "proxy"
	ModeFull  = "dhcp"
)

// What mode dhcp does beside saying so while another DHCP server answers.
const (
	OtherWarn     = "warn"
	OtherStepDown = "step-down"
)

// Who may read images.
const (
	ImagesPublic  = "public"
	ImagesPrivate = "private"
)

// DefaultConfig is what an empty file means.
func DefaultConfig() Config {
	return Config{
		DHCP:        DHCP{Mode: ModeProxy, Lease: time.Hour, Probe: netboot.DefaultProbeTime, Other: OtherWarn},
		HTTP:        8080,
		HTTPS:       8443,
		StateDir:    "/var/lib/griddle",
		Unknown:     fleet.OfferMenu,
		MenuTimeout: 10 * time.Second,
		Keymap:      "us",
		Hostname:    "node-{mac}",

		CatalogExpires: 365 * 24 * time.Hour,
		Recompress:     true,
		Images:         ImagesPublic,

		Multicast: Multicast{Enabled: true, Gather: 10 * time.Second, Groups: netip.MustParsePrefix("239.255.0.0/16"), Port: 7469, TTL: 1},

		Log: LogConfig{Level: "info", Format: "text"},
	}
}

// mistake is one thing that is wrong with the value of a key.
type mistake struct {
	key  string // "dhcp.pool"
	text string
}

func (m mistake) Error() string { return m.key + ": " + m.text }

// Validate reports every mistake at once. That an interface is named is left to Serve.
func (c Config) Validate() error {
	var errs []error
	for _, m := range c.mistakes() {
		errs = append(errs, m)
	}
	return errors.Join(errs...)
}

func (c Config) mistakes() []mistake {
	var out []mistake
	wrong := func(key, format string, args ...any) { out = append(out, mistake{key, fmt.Sprintf(format, args...)}) }
	oneOf := func(key, got string, want ...string) {
		for _, w := range want {
			if got == w {
				return
			}
		}
		wrong(key, "%q is none of %s", got, strings.Join(want, ", "))
	}
	if c.Interface != "" && (len(c.Interface) > 15 || strings.ContainsAny(c.Interface, "/ \t\n")) {
		wrong("interface", "%q cannot be the name of a network interface", c.Interface)
	}
	v4 := func(key string, a netip.Addr) {
		if a.IsValid() && (!a.Is4() || a.IsUnspecified() || a.IsMulticast()) {
			wrong(key, "%s is not an IPv4 address of a host", a)
		}
	}
	v4("address", c.Address)
	oneOf("dhcp.mode", c.DHCP.Mode, ModeProxy, ModeFull)
	switch {
	case c.DHCP.Pool != "":
		if _, _, err := c.DHCP.Range(); err != nil {
			wrong("dhcp.pool", "%v", err)
		}
	case c.DHCP.Mode == ModeFull:
		wrong("dhcp.pool", "mode dhcp needs the addresses to lease, such as 10.0.0.100-10.0.0.200")
	}
	v4("dhcp.router", c.DHCP.Router)
	for _, a := range c.DHCP.DNS {
		v4("dhcp.dns", a)
	}
	if c.DHCP.Lease < time.Minute {
		wrong("dhcp.lease", "%s is less than a minute", c.DHCP.Lease)
	}
	for key, port := range map[string]int{"http": c.HTTP, "https": c.HTTPS} {
		if port < 1 || port > 65535 {
			wrong(key, "%d is not a port, 1 to 65535", port)
		}
	}
	if c.DHCP.Probe < time.Second || c.DHCP.Probe > 5*time.Minute {
		wrong("dhcp.probe", "%s is not between a second and five minutes", c.DHCP.Probe)
	}
	oneOf("dhcp.other_server", c.DHCP.Other, OtherWarn, OtherStepDown)
	for _, p := range c.DHCP.Relays {
		if !p.Addr().Is4() || p.Bits() < 8 || p.Addr().IsLoopback() || p.Addr().IsMulticast() {
			wrong("dhcp.relay_networks", "%s is not an IPv4 network of hosts, such as 10.1.0.0/16", p)
		}
	}
	if c.HTTP == c.HTTPS {
		wrong("https", "%d is the port of http too", c.HTTPS)
	}
	if c.StateDir == "" {
		wrong("state_dir", "it is empty")
	}
	oneOf("unknown_machines", string(c.Unknown), string(fleet.OfferMenu), string(fleet.StartAgent), string(fleet.BootLocal))
	if c.MenuTimeout < time.Second {
		wrong("menu_timeout", "%s is less than a second", c.MenuTimeout)
	}
	for _, a := range c.KernelArgs {
		if !bootscript.ValidArg(a) {
			wrong("kernel_args", "%q is not a kernel argument that iPXE can pass on: letters, digits and _.,:;/@+=%%()[]*!?~^-, 256 at most", a)
		}
	}
	if m := c.keymapMistake(); m != "" {
		wrong("keymap", "%s", m)
	}
	sample := strings.NewReplacer("{mac}", "525400000000", "{serial}", "s", "{n}", "1").Replace(c.Hostname)
	if !fleet.ValidHostname(sample) || strings.Contains(sample, ".") {
		wrong("hostname", "%q does not make a hostname: letters, digits, hyphens, {mac}, {serial} and {n}", c.Hostname)
	}
	if c.CatalogExpires != 0 && c.CatalogExpires < time.Hour {
		wrong("catalog_expires", "%s is less than an hour; 0 means never", c.CatalogExpires)
	}
	oneOf("images", c.Images, ImagesPublic, ImagesPrivate)
	c.Multicast.mistakes(wrong)
	oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf("log.format", c.Log.Format, "text", "json")
	return out
}

func (m Multicast) mistakes(wrong func(key, format string, args ...any)) {
	if m.Rate < 0 || m.Rate > 400_000 {
		wrong("multicast.rate", "%d Mbit/s is not between 1 and 400000; 0 chooses one", m.Rate)
	}
	if m.Gather < time.Second || m.Gather > time.Hour {
		wrong("multicast.gather", "%s is not between a second and an hour", m.Gather)
	}
	if m.Machines < 0 || m.Machines > 65535 {
		wrong("multicast.machines", "%d is not a number of machines; 0 means none", m.Machines)
	}
	if a := m.Groups.Addr(); !a.Is4() || !a.IsMulticast() || m.Groups.Bits() < 4 || m.Groups.Bits() > 24 || a.As4()[0] == 224 {
		wrong("multicast.groups", "%s is not a network of 256 IPv4 multicast addresses or more, such as 239.255.0.0/16; 224.0.0.0/8 is other protocols'", m.Groups)
	}
	if m.Port < 1 || m.Port > 65535 {
		wrong("multicast.port", "%d is not a port, 1 to 65535", m.Port)
	}
	if m.TTL < 1 || m.TTL > 255 {
		wrong("multicast.ttl", "%d is not between 1, which stays in the network, and 255", m.TTL)
	}
}

// Range is the first and the last address of the pool.
func (d DHCP) Range() (first, last netip.Addr, err error) {
	from, to, ok := strings.Cut(d.Pool, "-")
	if ok {
		if first, err = netip.ParseAddr(strings.TrimSpace(from)); err == nil {
			last, err = netip.ParseAddr(strings.TrimSpace(to))
		}
	}
	if !ok || err != nil || !first.Is4() || !last.Is4() || last.Less(first) {
		return netip.Addr{}, netip.Addr{}, fmt.Errorf("%q is not FIRST-LAST, two IPv4 addresses in order", d.Pool)
	}
	return first, last, nil
}

// StoreDir is the image store's directory.
func (c Config) StoreDir() string {
	if c.Store != "" {
		return c.Store
	}
	return filepath.Join(c.StateDir, "store")
}

// bootDir finds the directory of the boot files, and checks that the kernel and the initramfs are in it.
func (c Config) bootDir() (string, error) {
	dirs := []string{c.BootDir}
	if c.BootDir == "" {
		dirs = []string{"build/boot", "/usr/lib/griddle/boot"}
	}
	for _, dir := range dirs {
		ok := true
		for _, name := range []string{"vmlinuz", "initramfs"} {
			if st, err := os.Stat(filepath.Join(dir, name)); err != nil || !st.Mode().IsRegular() {
				ok = false
			}
		}
		if ok {
			return filepath.Abs(dir)
		}
	}
	return "", Advice{fmt.Errorf("finding the boot files: no vmlinuz and initramfs in %s", strings.Join(dirs, " nor in ")),
		"Make them with `make boot`, or name their directory with --boot-dir."}
}

// Advice is an error with what a person should do about it, in one sentence.
type Advice struct {
	Err error
	Do  string
}

func (a Advice) Error() string { return a.Err.Error() }

// Unwrap returns the error itself.
func (a Advice) Unwrap() error { return a.Err }
