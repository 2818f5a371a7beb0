package carry

import (
	"os"
	"slices"
	"strings"
	"testing"
)

const root = "root:x:0:0::/root:/bin/sh\n"

// The secure state and its firewall come along, with the rules that people added. A new image without an ssh server or
// without nftables cannot have it.
func TestSecureState(t *testing.T) {
	t.Parallel()
	files := map[string]string{"etc/passwd": root, "etc/ssh/sshd_config": "Include /etc/ssh/sshd_config.d/*.conf\n",
		"usr/sbin/nft": "x", "usr/lib/systemd/system/nftables.service": "x", "etc/nftables.conf": "of the image\n"}
	const ours = "Port 2222\nPermitRootLogin no\nAuthenticationMethods publickey\nPasswordAuthentication no\n" +
		"KbdInteractiveAuthentication no\nAllowUsers ada\nMaxAuthTries 2\n"
	b := trees(t, files)
	b.old(t, map[string]string{sshFile: ours, "etc/nftables.conf": "tcp dport { 2222, 80 } accept\n"})
	for _, tree := range []string{"old", "image", "new"} {
		if err := os.Chmod(b.dir+"/"+tree+"/usr/sbin/nft", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r := b.carry(t)
	b.has(t, map[string]string{sshFile: ours, "etc/nftables.conf": "tcp dport { 2222, 80 } accept\n"})
	if _, err := os.Lstat(b.dir + "/new/etc/systemd/system/sysinit.target.wants/nftables.service"); err != nil {
		t.Error(err)
	}
	if len(r.Left) > 2 || !slices.Contains(r.Carried, "the configuration of ssh") {
		t.Errorf("report %+v", r)
	}
	if err := os.Remove(b.dir + "/new/usr/sbin/nft"); err != nil {
		t.Fatal(err)
	}
	if _, err := Carry(t.Context(), b.Trees, nil); err == nil || !strings.Contains(err.Error(), "it has no nftables") {
		t.Errorf("without nftables: %v", err)
	}
	if err := os.Remove(b.dir + "/new/etc/ssh/sshd_config"); err != nil {
		t.Fatal(err)
	}
	if _, err := Carry(t.Context(), b.Trees, nil); err == nil || !strings.Contains(err.Error(), "has no ssh server") {
		t.Errorf("without an ssh server: %v", err)
	}
	b.old(t, map[string]string{sshFile: "Port 2222 # why not\n"})
	if r = b.carry(t); !strings.Contains(strings.Join(r.Left, "\n"), "not a number") {
		t.Errorf("left %q", r.Left)
	}
	b.has(t, map[string]string{sshFile: "Port 2222 # why not\n"})
	b.old(t, map[string]string{sshFile: "Port 2222\n"})
	r = b.carry(t)
	if !slices.ContainsFunc(r.Left, func(s string) bool { return strings.HasPrefix(s, "the configuration of ssh: ") }) {
		t.Errorf("left %q", r.Left)
	}
}

// Shares of the machine are in fstab once, and do not hide what the new image mounts.
func TestShares(t *testing.T) {
	t.Parallel()
	b := trees(t, map[string]string{"etc/passwd": root, "usr/sbin/mount.nfs": "x",
		"etc/fstab": "a:/i /srv/image nfs x-griddle.share 0 0\n"})
	if err := os.Chmod(b.dir+"/new/usr/sbin/mount.nfs", 0o755); err != nil {
		t.Fatal(err)
	}
	b.old(t, map[string]string{"etc/fstab": "a:/i /srv/image nfs x-griddle.share 0 0\n" +
		"a:/l /srv/my\\040lab nfs nofail,x-griddle.share 0 0\n//b/c /srv/c cifs x-griddle.share 0 0\n" +
		"a:/d /srv/taken nfs x-griddle.share 0 0\na:/mine /mnt nfs nofail 0 0\n" +
		"a:/new /srv/moved nfs x-griddle.share 0 0\n",
		"etc/griddle/shares/srv-c": "username=x\n"})
	b.new(t, map[string]string{"etc/fstab": "UUID=1 / btrfs x 0 0\ntmpfs /srv/taken tmpfs x 0 0\n" +
		"a:/old /srv/moved nfs x-griddle.share 0 0\n"})
	const want = "UUID=1 / btrfs x 0 0\ntmpfs /srv/taken tmpfs x 0 0\n" +
		"a:/l /srv/my\\040lab nfs nofail,x-griddle.share 0 0\n" +
		"//b/c /srv/c cifs x-griddle.share 0 0\na:/new /srv/moved nfs x-griddle.share 0 0\n"
	for range 2 {
		b.carry(t)
		b.has(t, map[string]string{"etc/fstab": want, "etc/griddle/shares/srv-c": "username=x\n"})
	}
	b.new(t, map[string]string{"etc/fstab": "tmpfs /srv/taken tmpfs x 0 0\n"})
	r := b.carry(t)
	for _, want := range []string{"the share at /srv/taken: the new image mounts something else there",
		"what mounts the share //b/c: the new image has no mount.cifs, install its package in the template"} {
		if !slices.Contains(r.Left, want) {
			t.Errorf("left %q, without %q", r.Left, want)
		}
	}
	for _, folder := range []string{"srv/my lab", "srv/c", "srv/moved"} {
		if st, err := os.Stat(b.dir + "/new/" + folder); err != nil || !st.IsDir() {
			t.Errorf("%s: %v", folder, err)
		}
	}
}

// The network that people or settings configured comes for the program that reads it.
func TestNetwork(t *testing.T) {
	t.Parallel()
	b := trees(t, map[string]string{"etc/passwd": root, "etc/network/interfaces": "image", "usr/sbin/ifup": "x"})
	b.old(t, map[string]string{"etc/network/interfaces": "static", "etc/netplan/10.yaml": "x",
		"etc/NetworkManager/system-connections/lan.nmconnection": "x"})
	if err := os.Chmod(b.dir+"/new/usr/sbin/ifup", 0o755); err != nil {
		t.Fatal(err)
	}
	b.carry(t)
	b.has(t, map[string]string{"etc/network/interfaces": "static"})
	b.lacks(t, "etc/netplan", "etc/NetworkManager")
}

// What the site set for the trial of a root holds for the trial of the next one.
func TestTrial(t *testing.T) {
	t.Parallel()
	b := trees(t, map[string]string{"etc/passwd": root})
	set := map[string]string{"etc/griddle/health.d/10-web": "#!/bin/sh\n",
		"etc/griddle/health.json":                                 `{"server":"optional"}`,
		"etc/systemd/system/griddle-deadline.service.d/slow.conf": "[Service]\nEnvironment=DEADLINE=20m\n"}
	b.old(t, set)
	b.carry(t)
	b.has(t, set)
}
