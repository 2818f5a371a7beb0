package config

import (
	_ "embed"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"griddle/appliance/fleet"
	"griddle/netboot"
)

// Example is the configuration file with every key, its default and what it means.
//
//go:embed griddle.yaml
var Example string

// Path is where the configuration is looked for if none is named.
const Path = "/etc/griddle/griddle.yaml"

// Config is the configuration; Example says what each key means. Start from Default.
type Config struct {
	Interface   string          `yaml:"interface"`
	Address     netip.Addr      `yaml:"address"`
	DHCP        DHCP            `yaml:"dhcp"`
	HTTP        int             `yaml:"http"`
	HTTPS       int             `yaml:"https"`
	BootDir     string          `yaml:"boot_dir"`
	StateDir    string          `yaml:"state_dir"`
	Store       string          `yaml:"store"`
	Unknown     fleet.Policy    `yaml:"unknown_machines"`
	Enrolment   fleet.Enrolment `yaml:"enrolment"`
	MenuTimeout time.Duration   `yaml:"menu_timeout"`
	CheckIn     time.Duration   `yaml:"check_in_every"`
	KeepEvents  time.Duration   `yaml:"keep_events"`
	KernelArgs  []string        `yaml:"kernel_args"`
	Keymap      string          `yaml:"keymap"`
	Hostname    string          `yaml:"hostname"`
	Settings    string          `yaml:"settings"`
	Kexec       fleet.Kexec     `yaml:"kexec"`
	Runs        fleet.Runs      `yaml:"run_commands"`

	CatalogExpires time.Duration `yaml:"catalog_expires"`
	Recompress     bool          `yaml:"recompress"`
	Images         string        `yaml:"images"`

	Multicast Multicast `yaml:"multicast"`

	OIDC OIDC `yaml:"oidc"`

	Metrics  Metrics   `yaml:"metrics"`
	Webhooks []Webhook `yaml:"webhooks"`

	Log Log `yaml:"log"`
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

// OIDC is the identity provider that people log in by.
type OIDC struct {
	Issuer   string   `yaml:"issuer"` // "" for none
	Client   string   `yaml:"client"`
	Name     string   `yaml:"name"`
	Groups   string   `yaml:"groups"`
	Viewer   []string `yaml:"viewer"`
	Operator []string `yaml:"operator"`
	Admin    []string `yaml:"admin"`
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

// Metrics is who may read the metrics.
type Metrics struct {
	WithoutToken []netip.Prefix `yaml:"without_token"`
}

// Webhook is a program that gets what becomes of jobs.
type Webhook struct {
	URL        string   `yaml:"url"`
	SecretFile string   `yaml:"secret_file"`
	Events     []string `yaml:"events"`
	Private    bool     `yaml:"private"`
	CAFile     string   `yaml:"ca_file"`
}

// Log is how much is logged, and how.
type Log struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

// The DHCP modes.
const (
	ModeProxy = "proxy"
	ModeFull  = "dhcp"
)

// What mode dhcp does, beside the error in the log, while another DHCP server answers.
const (
	OtherWarn     = "warn"
	OtherStepDown = "step-down"
)

// Who may read images.
const (
	ImagesPublic  = "public"
	ImagesPrivate = "private"
)

// Default is what an empty file means.
func Default() Config {
	return Config{
		DHCP:        DHCP{Mode: ModeProxy, Lease: time.Hour, Probe: netboot.DefaultProbeTime, Other: OtherWarn},
		HTTP:        8080,
		HTTPS:       8443,
		StateDir:    "/var/lib/griddle",
		Unknown:     fleet.OfferMenu,
		Enrolment:   fleet.EnrolOpen,
		MenuTimeout: 10 * time.Second,
		CheckIn:     5 * time.Minute,
		Keymap:      "us",
		Hostname:    "node-{mac}",
		Kexec:       fleet.KexecUpdates,
		Runs:        fleet.RunsAdmins,

		CatalogExpires: 365 * 24 * time.Hour,
		Recompress:     true,
		Images:         ImagesPublic,

		Multicast: Multicast{Enabled: true, Gather: 10 * time.Second,
			Groups: netip.MustParsePrefix("239.255.0.0/16"), Port: 7469, TTL: 1},

		OIDC: OIDC{Name: "preferred_username", Groups: "groups"},

		Log: Log{Level: "info", Format: "text"},
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

// SlogLevel is the level as log/slog has it.
func (l Log) SlogLevel() slog.Level {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "warn": slog.LevelWarn, "error": slog.LevelError}
	return levels[l.Level] // info is 0
}
