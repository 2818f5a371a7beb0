package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"griddle/appliance/fleet"
	"griddle/netboot/bootscript"
)

// Mistake is one thing that is wrong with the value of a key.
type Mistake struct {
	Key  string // "dhcp.pool"
	Text string
}

// Error is KEY: what is wrong.
func (m Mistake) Error() string { return m.Key + ": " + m.Text }

// Validate reports every mistake at once. A missing interface is not one: Serve asks for it.
func (c Config) Validate() error {
	var errs []error
	for _, m := range c.mistakes() {
		errs = append(errs, m)
	}
	return errors.Join(errs...)
}

func (c Config) mistakes() []Mistake {
	var out []Mistake
	wrong := func(key, format string, args ...any) { out = append(out, Mistake{key, fmt.Sprintf(format, args...)}) }
	oneOf := func(key, got string, want ...string) {
		for _, w := range want {
			if got == w {
				return
			}
		}
		wrong(key, "%q is not one of %s", got, strings.Join(want, ", "))
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
		wrong("https", "%d is also the port of http", c.HTTPS)
	}
	if c.StateDir == "" {
		wrong("state_dir", "it is empty")
	}
	oneOf("unknown_machines", string(c.Unknown), string(fleet.OfferMenu), string(fleet.StartAgent),
		string(fleet.BootLocal))
	oneOf("enrolment", string(c.Enrolment), string(fleet.EnrolOpen), string(fleet.EnrolApprove),
		string(fleet.EnrolClosed))
	oneOf("kexec", string(c.Kexec), string(fleet.KexecUpdates), string(fleet.KexecAlways), string(fleet.KexecNever))
	oneOf("run_commands", string(c.Runs), string(fleet.RunsNobody), string(fleet.RunsAdmins),
		string(fleet.RunsOperators))
	if c.MenuTimeout < time.Second {
		wrong("menu_timeout", "%s is less than a second", c.MenuTimeout)
	}
	if c.CheckIn < 10*time.Second || c.CheckIn > time.Hour || c.CheckIn%time.Second != 0 {
		wrong("check_in_every", "%s is not a number of seconds from 10s to 1h", c.CheckIn)
	}
	if c.KeepEvents != 0 && c.KeepEvents < 24*time.Hour {
		wrong("keep_events", "%s is less than 24h, and not 0s", c.KeepEvents)
	}
	for _, a := range c.KernelArgs {
		if !bootscript.ValidArg(a) {
			wrong("kernel_args",
				"%q is not a kernel argument that iPXE can pass on: letters, digits and "+
					"_.,:;/@+=%%()[]*!?~^-, 256 at most", a)
		}
	}
	if !ValidKeymap(c.Keymap) {
		wrong("keymap", "%q is not the name of a keyboard layout", c.Keymap)
	}
	sample := strings.NewReplacer("{mac}", "525400000000", "{serial}", "s", "{n}", "1").Replace(c.Hostname)
	if !fleet.ValidHostname(sample) || strings.Contains(sample, ".") {
		wrong("hostname", "%q does not make a hostname: letters, digits, hyphens, {mac}, {serial} and {n}", c.Hostname)
	}
	if c.CatalogExpires != 0 && c.CatalogExpires < time.Hour {
		wrong("catalog_expires", "%s is less than an hour; 0s means forever", c.CatalogExpires)
	}
	oneOf("images", c.Images, ImagesPublic, ImagesPrivate)
	c.Multicast.mistakes(wrong)
	c.OIDC.mistakes(wrong)
	for _, p := range c.Metrics.WithoutToken {
		if p.Masked() != p {
			wrong("metrics.without_token", "%s is an address in a network; write %s for the network, or %s for the "+
				"address", p, p.Masked(), netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
		}
	}
	webhookMistakes(c.Webhooks, wrong)
	oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf("log.format", c.Log.Format, "text", "json")
	return out
}

// ValidKeymap says whether name can be that of a keyboard layout.
func ValidKeymap(name string) bool { return !strings.ContainsAny(name, "/. \t\n\x00") }

func (o OIDC) mistakes(wrong func(key, format string, args ...any)) {
	if o.Issuer == "" {
		if o.Client != "" || len(o.Viewer)+len(o.Operator)+len(o.Admin) > 0 {
			wrong("oidc.issuer", "it is empty, and there are other keys of oidc: give the URL of the identity provider")
		}
		return
	}
	if u, err := url.Parse(o.Issuer); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		wrong("oidc.issuer", "%q is not the https:// URL of an identity provider", o.Issuer)
	}
	if o.Client == "" {
		wrong("oidc.client", "it is empty: register griddle at the identity provider, and give its client ID here")
	}
	if o.Name == "" || o.Groups == "" {
		wrong("oidc.name", "name and groups are the claims of the identity provider; both must be given")
	}
	if len(o.Viewer)+len(o.Operator)+len(o.Admin) == 0 {
		wrong("oidc.viewer", "no group has a role, so no one could log in: give viewer, operator or admin")
	}
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
	if a := m.Groups.Addr(); !a.Is4() || !a.IsMulticast() || m.Groups.Bits() < 4 || m.Groups.Bits() > 24 ||
		a.As4()[0] == 224 {
		wrong("multicast.groups",
			"%s is not a network of 256 IPv4 multicast addresses or more, such as 239.255.0.0/16; "+
				"224.0.0.0/8 belongs to other protocols", m.Groups)
	}
	if m.Port < 1 || m.Port > 65535 {
		wrong("multicast.port", "%d is not a port, 1 to 65535", m.Port)
	}
	if m.TTL < 1 || m.TTL > 255 {
		wrong("multicast.ttl", "%d is not between 1, which stays in the network, and 255", m.TTL)
	}
}
