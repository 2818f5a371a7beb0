//go:build cloud

package audit_test

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"griddle/appliance/setting"
	"griddle/cloud/audit"
	"griddle/cloud/guesttest"
	"griddle/cloud/userdata/declared"
	"griddle/cloud/userdata/secure"
	"griddle/cloud/userdata/seed"
	applied "griddle/initramfs/setting"
)

// declaration is what a machine in the secure state gets; ADA and BOB are keys.
const declaration = `{"hostname": "lab-1", "zone": "Europe/Berlin", "ntp": ["ntp.example.net", "192.0.2.7"],
	"root": {"passwordHash": "$6$saltsalt$0123456789", "keys": ["ADA"]},
	"users": [{"name": "ada", "sudo": true, "keys": ["ADA"], "passwordHash": "$6$saltsalt$9876543210"},
		{"name": "bob", "keys": ["BOB"]}, {"name": "local", "sudo": true}],
	"ssh": {"secure": true, "port": 2222},
	"network": {"interfaces": [{"name": "lan0", "mac": "` + guestMAC + `",
		"addresses": ["10.99.0.2/24", "fd00:99::2/64"],
		"routes": [{"to": "default", "via": "10.99.0.1"}]}]}}`

// openImage is what an image may have that the secure state has to close: passwords, a login of root, and a user of its
// own with a key.
const openImage = `set -e
echo 'root:secret' | chpasswd
useradd -m -s /bin/bash image && echo 'image:secret' | chpasswd
mkdir -p /home/image/.ssh && cp /tmp/key /home/image/.ssh/authorized_keys && chown -R image: /home/image
printf 'PermitRootLogin yes\nPasswordAuthentication yes\n' >>/etc/ssh/sshd_config
printf 'PermitRootLogin yes\nPasswordAuthentication yes\n' >/etc/ssh/sshd_config.d/50-image.conf
`

// more is what Apply closes too: other ports of sshd, and a firewall that may not start.
const more = `printf 'Port 22\nPort 2200\n' >>/etc/ssh/sshd_config
echo 'Port 2201' >>/etc/ssh/sshd_config.d/50-image.conf
systemctl mask nftables.service
touch /etc/cloud/cloud-init.disabled
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
`

// TestMachine boots a Debian without cloud-init to which settings with the secure state were applied: an audit finds it
// as servers in clouds are.
func TestMachine(t *testing.T) {
	m := newMachine(t)
	inTree(t, m.tree, openImage+more)
	b, err := os.ReadFile(filepath.Join(m.tree, "etc/ssh/ssh_host_ed25519_key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(m.tree)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if applied.HasCloudInit(root) {
		t.Fatal("cloud-init would set the machine up")
	}
	err = applied.Apply(t.Context(), root, m.settings, applied.Options{Note: func(n string) { t.Log(n) }})
	if err != nil {
		t.Fatal(err)
	}
	m.audit(" lab-1 ttyS0", func(string) []byte { return b })
}

// TestSeededMachine is the same for an image with cloud-init, which gets a seed.
func TestSeededMachine(t *testing.T) {
	m := newMachine(t)
	inTree(t, m.tree, openImage)
	given, err := declared.Seed("i-1", m.settings)
	if err != nil {
		t.Fatal(err)
	}
	files, err := seed.NoCloud(given)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(m.tree, "var/lib/cloud/seed/nocloud")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(folder, f.Name), f.Content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// cloud-init makes the host keys, and shows them on the console.
	m.audit(secure.Marker+"done: lab-1", func(console string) []byte {
		for line := range strings.Lines(console) {
			if i := strings.Index(line, "ssh-ed25519 AAAA"); i >= 0 && strings.Contains(line, "root@") {
				return []byte(line[i:])
			}
		}
		return nil
	})
}

// machine is a Debian that gets the settings of declaration.
type machine struct {
	*testing.T
	dir, tree string
	ada       ssh.Signer
	settings  setting.Settings
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{T: t, dir: dir, tree: filepath.Join(dir, "tree")}
	if err := guesttest.Tree(t.Context(), m.tree, os.Stderr); err != nil {
		t.Fatal(err)
	}
	_, m.ada = newKey(t)
	_, bob := newKey(t)
	line := func(s ssh.Signer) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.PublicKey()))) }
	if err := os.WriteFile(filepath.Join(m.tree, "tmp", "key"), []byte(line(m.ada)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("ADA", line(m.ada), "BOB", line(bob)).Replace(declaration)
	d, err := setting.Decode("machine", []byte(text))
	if err == nil {
		m.settings, err = setting.Merge(d).Resolve(setting.Machine{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// audit boots the machine, waits for a line of its console, and demands that every point holds.
func (t *machine) audit(ready string, hostKey func(console string) []byte) {
	t.Helper()
	image, err := guesttest.ImageOf(t.Context(), t.dir, t.tree)
	if err != nil {
		t.Fatal(err)
	}
	lan, err := guesttest.NewLAN(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lan.Close()
	disk, err := image.Overlay(t.Context(), "root", 2<<30)
	if err != nil {
		t.Fatal(err)
	}
	g, err := guesttest.Start(t.Context(), lan, image,
		guesttest.Config{Name: "lab-1", Dir: t.dir, Disks: []string{disk}, MAC: guestMAC})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	if _, err := g.Wait(ctx, ready); err != nil {
		t.Fatalf("%v\n%s", err, g.Console())
	}
	host, _, _, _, err := ssh.ParseAuthorizedKey(hostKey(g.Console()))
	if err != nil {
		t.Fatalf("the host key: %v\n%s", err, g.Console())
	}
	want := audit.Want{Admin: "ada", SSHPort: 2222, Zone: "Europe/Berlin", Hostname: "lab-1",
		NTP:   []string{"ntp.example.net", "192.0.2.7"},
		Users: []audit.User{{Name: "ada", Sudo: true}, {Name: "bob"}, {Name: "local", Sudo: true, Local: true}}}
	for _, address := range []string{"10.99.0.2", "fd00:99::2"} {
		a := netip.MustParseAddr(address)
		points, err := audit.Run(ctx, audit.Target{SSH: netip.AddrPortFrom(a, 2222), HostKey: host, Signer: t.ada,
			Dial: lan.DialContext, Scan: a, From: 1, To: 2300, Wait: 3 * time.Second}, want)
		if err != nil {
			t.Errorf("%v\n%s", err, g.Console())
		}
		for _, p := range points {
			t.Logf("%s: %-5v %s: %s", address, p.OK, p.Name, p.Seen)
		}
		for _, p := range audit.Failed(points) {
			t.Errorf("%s: %s: %s", address, p.Name, p.Seen)
		}
	}
}

// inTree runs a script in a tree.
func inTree(t *testing.T, tree, script string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "chroot", tree, "sh", "-c", script)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "SYSTEMD_OFFLINE=1"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
