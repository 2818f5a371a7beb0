package carry

import (
	"context"
	"crypto/rand"
	"path"
	"regexp"
	"slices"
	"strings"

	"griddle/initramfs/sysroot"
)

// keys are files that a machine is known by, or decrypts its own secrets with: patterns of path.Match for a folder. Of
// the secret ones the new root has those of the machine alone: those of the image would be the same on all machines.
var keys = []struct {
	dir, pattern string
	secret       bool
}{
	{"etc/ssh", "ssh_host_*", true},
	{"etc/dropbear", "dropbear_*_host_key", true},
	{"etc", "dhcpcd.duid", true},
	{"etc", "dhcpcd.secret", true},
	{"var/lib/dhcpcd", "duid", true},
	{"var/lib/dhcpcd", "secret", true},
	{"var/lib/systemd", "credential.secret", true},
	{"var/lib/NetworkManager", "secret_key", true},
	{"etc/cockpit/ws-certs.d", "0-self-signed*", true},
	{"var/lib/fwupd/pki", "secret.key", true},
	{"var/lib/fwupd/pki", "client.pem", true},
	// Registrations at Red Hat.
	{"etc/pki/consumer", "*", true},
	{"etc/pki/entitlement", "*", true},
	{"etc/sysconfig/rhn", "systemid", true},
	{"etc/insights-client", "machine-id", false},
	{"var/lib/yum", "uuid", false},
	{"etc", "hostid", false},
	{"etc", "adjtime", false},
	{"etc/iscsi", "initiatorname.iscsi", false},
	{"etc/nvme", "hostid", false},
	{"etc/nvme", "hostnqn", false},
}

// identity has the new root be the same machine.
func (c *carrier) identity(ctx context.Context) error {
	if err := c.machineID(); err != nil {
		return err
	}
	if err := c.names(); err != nil {
		return err
	}
	for _, k := range keys {
		if err := c.key(ctx, k.dir, k.pattern, k.secret); err != nil {
			return err
		}
	}
	// What cloud-init has done once in the life of the machine. What it does once for an instance it does in each root:
	// the settings are not in the image.
	if c.to.Program("cloud-init") != "" {
		if err := c.whole(ctx, "var/lib/cloud/sem"); err != nil {
			return err
		}
	}
	// A seed that two roots start with would be used twice.
	if st, err := c.to.Stat("var/lib/systemd"); err != nil || !st.IsDir() {
		return nil
	}
	seed := make([]byte, 512)
	rand.Read(seed)
	return c.to.Write("var/lib/systemd/random-seed", seed, 0o600)
}

var machineID = regexp.MustCompile(`^[0-9a-f]{32}\n?$`) // machine-id(5)

func (c *carrier) machineID() error {
	id, err := c.old.Read("etc/machine-id")
	if err != nil {
		return err
	}
	if !machineID.Match(id) {
		c.left("the machine ID: the old system has none")
		return nil
	}
	if err := c.to.Write("etc/machine-id", id, 0o444); err != nil {
		return err
	}
	// A copy here is as old as the image; Debian's is a symlink to the one above.
	if st, err := c.to.Lstat("var/lib/dbus/machine-id"); err == nil && st.Mode().IsRegular() {
		if err := c.to.Write("var/lib/dbus/machine-id", id, 0o644); err != nil {
			return err
		}
	}
	c.carried("the machine ID")
	return nil
}

// names carries the hostname, and the line of it in /etc/hosts.
func (c *carrier) names() error {
	text, err := c.old.Read("etc/hostname")
	if err != nil {
		return err
	}
	name := strings.TrimSpace(string(text))
	if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '/' || r == '#'
	}) {
		c.left("the hostname: the old system has none")
		return nil
	}
	if err := c.to.Write("etc/hostname", []byte(name+"\n"), 0o644); err != nil {
		return err
	}
	from, err := c.old.Read("etc/hosts")
	if err != nil {
		return err
	}
	hosts, err := c.to.Read("etc/hosts")
	if err != nil {
		return err
	}
	if err := c.to.Replace("etc/hosts", sysroot.CopyHostLine(from, hosts, name), 0o644); err != nil {
		return err
	}
	c.carried("the hostname %s", name)
	return nil
}

// key carries those files of a folder whose names match.
func (c *carrier) key(ctx context.Context, dir, pattern string, secret bool) error {
	files, err := matching(c.old, dir, pattern)
	if err != nil {
		return err
	}
	if secret {
		others, err := matching(c.to, dir, pattern)
		if err != nil {
			return err
		}
		for _, name := range others {
			if err := c.to.RemoveAll(name); err != nil {
				return err
			}
		}
	}
	for _, name := range files {
		if err := c.whole(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// matching are the files of a folder whose names match a pattern, sorted.
func matching(d sysroot.Dir, dir, pattern string) ([]string, error) {
	if st, err := d.Lstat(dir); err != nil || !st.IsDir() {
		return nil, nil
	}
	entries, err := d.List(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if ok, _ := path.Match(pattern, e.Name()); ok && e.Type().IsRegular() {
			out = append(out, path.Join(dir, e.Name()))
		}
	}
	slices.Sort(out)
	return out, nil
}
