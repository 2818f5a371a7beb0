package carry

import "context"

// domain is what a machine has of a domain that it joined, by `griddle-agent maintain join` or by other programs.
var domain = []string{
	"etc/krb5.keytab", "etc/krb5.conf", "etc/krb5.conf.d",
	"etc/sssd", "var/lib/sss/db", "var/lib/sss/secrets", "var/lib/sss/keytabs",
	"etc/systemd/system/multi-user.target.wants/sssd.service",
	"etc/realmd.conf",
	"etc/samba/smb.conf", "var/lib/samba/private", "var/lib/samba/winbindd_idmap.tdb",
	"etc/systemd/system/multi-user.target.wants/winbind.service",
	"etc/ipa", "var/lib/ipa-client",
}

// maintained is what `griddle-agent maintain`, settings and the site write, apart from accounts, names, ssh and shares.
var maintained = []string{
	KeepDir, "etc/griddle/health.d", "etc/griddle/health.json", "etc/systemd/system/griddle-deadline.service.d",
	"etc/localtime", "etc/timezone",
	"etc/sudoers.d/90-griddle-settings", "root/.ssh/authorized_keys",
	"etc/griddle/configure", "usr/local/lib/griddle/configure", "var/lib/griddle/configure",
	"etc/systemd/system/griddle-configure.service", "etc/systemd/system/griddle-configure.timer",
	"etc/systemd/system/multi-user.target.wants/griddle-configure.service",
	"etc/systemd/system/timers.target.wants/griddle-configure.timer",
}

// network is how a machine is on its network, by the program that reads it. A system without the program gets nothing:
// what one program is configured with, another one may leave alone.
var network = []struct{ program, path string }{
	{"NetworkManager", "etc/NetworkManager/system-connections"},
	{"NetworkManager", "etc/NetworkManager/conf.d/10-griddle.conf"},
	{"networkctl", "etc/systemd/network"},
	{"ifup", "etc/network/interfaces"},
	{"ifup", "etc/network/interfaces.d"},
	{"netplan", "etc/netplan"},
}

// changes carries what people and programs changed on the machine.
func (c *carrier) changes(ctx context.Context) error {
	for _, list := range [][]string{domain, maintained} {
		for _, at := range list {
			if err := c.path(ctx, at); err != nil {
				return err
			}
		}
	}
	for _, n := range network {
		if c.to.Program(n.program) == "" {
			continue
		}
		if err := c.path(ctx, n.path); err != nil {
			return err
		}
	}
	if err := c.ssh(ctx); err != nil {
		return err
	}
	return c.shares(ctx)
}
