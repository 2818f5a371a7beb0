//go:build cloud

package audit_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"griddle/cloud/audit"
	"griddle/cloud/guesttest"
	"griddle/cloud/userdata"
	"griddle/cloud/userdata/secure"
	"griddle/cloud/userdata/seed"
)

const guestMAC = "52:54:00:99:00:02"

// world is what the boots of one server have in common.
type world struct {
	t      *testing.T
	dir    string
	image  *guesttest.Image
	lan    *guesttest.LAN
	host   string // sshd's private key
	pinned ssh.PublicKey
	admin  ssh.Signer
	server secure.Server
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: t.TempDir()}
	var err error
	if w.image, err = guesttest.MakeImage(t.Context(), w.dir, os.Stderr); err != nil {
		t.Fatal(err)
	}
	if w.lan, err = guesttest.NewLAN(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.lan.Close(); err != nil {
			t.Error(err)
		}
	})
	key, pub := newKey(t)
	w.host, w.pinned = key, pub.PublicKey()
	_, w.admin = newKey(t)
	line := string(ssh.MarshalAuthorizedKey(w.admin.PublicKey()))
	w.server = secure.Server{
		Hostname: "web-1", Admin: "ops", HostKey: w.host,
		Users: []secure.User{{Name: "ops", Keys: []string{line}, Sudo: true, Groups: []string{"adm"}},
			{Name: "dev", Keys: []string{line}}},
		SSH: secure.SSH{Port: 2222,
			From: []netip.Prefix{netip.MustParsePrefix("10.99.0.0/24"), netip.MustParsePrefix("fd00:99::/64")}},
		Ports: []secure.Port{{Protocol: "tcp", From: 8080, To: 8090}, {Protocol: "udp", From: 53, To: 53},
			{Protocol: "icmp"}},
		NTP: []string{"ntp.example.net", "192.0.2.7"}, DNS: []netip.Addr{netip.MustParseAddr("10.99.0.1")},
		Zone: "Europe/Berlin", Proxy: "http://10.99.0.1:3128",
		Volumes: []secure.Volume{{Name: "data", Size: 1 << 30, Mount: "/srv"}},
	}
	return w
}

// seed renders the server's user-data and makes a NoCloud disk of it.
func (w *world) seed(instance string, more ...userdata.Part) string {
	w.t.Helper()
	return w.source(seed.NoCloud, seed.Label, instance, more...)
}

func (w *world) source(files func(seed.Seed) ([]seed.File, error), label, instance string,
	more ...userdata.Part) string {
	w.t.Helper()
	parts, err := w.server.Parts()
	if err != nil {
		w.t.Fatal(err)
	}
	merged, err := userdata.Merge(append(parts, more...))
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := merged.Render(userdata.Options{Limit: 16 << 10})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Logf("%s: %d bytes of user-data", instance, len(b))
	mac, err := net.ParseMAC(guestMAC)
	if err != nil {
		w.t.Fatal(err)
	}
	laid, err := files(seed.Seed{InstanceID: instance, Hostname: w.server.Hostname, UserData: b,
		Network: &seed.Network{Interfaces: []seed.Interface{{MAC: mac, Addresses: []netip.Prefix{
			netip.MustParsePrefix("10.99.0.2/24"), netip.MustParsePrefix("fd00:99::2/64")},
			Gateways: []netip.Addr{w.lan.Host.Addr()}}}}})
	if err != nil {
		w.t.Fatal(err)
	}
	var iso bytes.Buffer
	if err := seed.ISO(&iso, label, laid); err != nil {
		w.t.Fatal(err)
	}
	return w.file(instance+".iso", iso.Bytes())
}

func (w *world) file(name string, content []byte) string {
	w.t.Helper()
	p := filepath.Join(w.dir, name)
	if err := os.WriteFile(p, content, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// disk makes a sparse file with pieces of data in it.
func (w *world) disk(name string, size int64, pieces map[int64][]byte) string {
	w.t.Helper()
	p := filepath.Join(w.dir, name)
	f, err := os.Create(p)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		w.t.Fatal(err)
	}
	for at, b := range pieces {
		if _, err := f.WriteAt(b, at); err != nil {
			w.t.Fatal(err)
		}
	}
	return p
}

func (w *world) root(name string, commands ...string) string {
	w.t.Helper()
	p, err := w.image.Overlay(w.t.Context(), name, 2<<30, commands...)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// boot starts the server and waits for the line that says how its first boot went.
func (w *world) boot(name string, disks ...string) (*guesttest.Guest, string) {
	w.t.Helper()
	began := time.Now()
	g, err := guesttest.Start(w.t.Context(), w.lan, w.image,
		guesttest.Config{Name: name, Dir: w.dir, Disks: disks, MAC: guestMAC})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		g.Kill()
		if w.t.Failed() {
			w.t.Logf("console of %s:\n%s", name, g.Console())
		}
	})
	ctx, cancel := context.WithTimeout(w.t.Context(), 40*time.Minute)
	defer cancel()
	line, err := g.Wait(ctx, secure.Marker)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Logf("%s: %s after %.0f s", name, line, time.Since(began).Seconds())
	return g, line
}

func (w *world) target() audit.Target {
	return audit.Target{SSH: netip.MustParseAddrPort("10.99.0.2:2222"), HostKey: w.pinned, Signer: w.admin,
		Dial: w.lan.DialContext,
		Scan: netip.MustParseAddr("10.99.0.2"), From: 1, To: 2300, Wait: 3 * time.Second}
}

func (w *world) want() audit.Want {
	return audit.Want{Admin: "ops", Users: []audit.User{{Name: "ops", Sudo: true}, {Name: "dev"}}, SSHPort: 2222,
		Ports: []audit.Port{{Protocol: "tcp", From: 8080, To: 8090}, {Protocol: "udp", From: 53, To: 53},
			{Protocol: "icmp"}},
		Mounts: []audit.Mount{{Path: "/srv", Label: secure.Label("data")}}, Zone: "Europe/Berlin",
		NTP: []string{"ntp.example.net", "192.0.2.7"}}
}

// audit demands that every point holds, over IPv4 and IPv6.
func (w *world) audit() {
	w.t.Helper()
	points, err := audit.Run(w.t.Context(), w.target(), w.want())
	if err != nil {
		w.t.Error(err)
	}
	for _, p := range points {
		w.t.Logf("%-5v %s: %s", p.OK, p.Name, p.Seen)
	}
	for _, p := range audit.Failed(points) {
		w.t.Errorf("%s: %s", p.Name, p.Seen)
	}
	six := w.target()
	six.SSH, six.Scan, six.From, six.To = netip.MustParseAddrPort("[fd00:99::2]:2222"),
		netip.MustParseAddr("fd00:99::2"), 2200, 2300
	points, err = audit.Run(w.t.Context(), six, w.want())
	if err != nil {
		w.t.Error(err)
	}
	for _, p := range audit.Failed(points) {
		w.t.Errorf("by IPv6: %s: %s", p.Name, p.Seen)
	}
}

// run runs a command as the admin.
func (w *world) run(command string) string {
	w.t.Helper()
	conn, err := w.lan.DialContext(w.t.Context(), "tcp", "10.99.0.2:2222")
	if err != nil {
		w.t.Fatal(err)
	}
	c, channels, requests, err := ssh.NewClientConn(conn,
		"guest", &ssh.ClientConfig{User: "ops", Auth: []ssh.AuthMethod{ssh.PublicKeys(w.admin)},
			HostKeyCallback: ssh.FixedHostKey(w.pinned), HostKeyAlgorithms: []string{ssh.KeyAlgoED25519}})
	if err != nil {
		w.t.Fatal(err)
	}
	client := ssh.NewClient(c, channels, requests)
	defer client.Close()
	s, err := client.NewSession()
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := s.CombinedOutput(command)
	if err != nil {
		w.t.Errorf("%s: %v: %s", command, err, out)
	}
	return string(out)
}

// TestServer boots a server, audits it, boots it again, and gives it a new system in which sshd is socket-activated:
// it keeps its data disk, and disks with data are never touched.
func TestServer(t *testing.T) {
	w := newWorld(t)
	ext4 := w.disk("ext4.raw", 3<<30, nil)
	if out, err := exec.Command("mke2fs", "-q", "-F", "-t", "ext4", ext4).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s; run make deps", err, out)
	}
	foreign := []string{ext4,
		w.disk("end.raw", 2<<30, map[int64][]byte{2<<30 - 1: {1}}),
		w.disk("begin.raw", 2<<30, map[int64][]byte{1<<20 - 1: {1}}),
	}
	data := w.disk("data.raw", 1<<30, nil)
	before := map[string]string{}
	for _, f := range foreign {
		before[f] = guesttest.Digest(t, f)
	}
	content := make([]byte, 3000)
	if _, err := rand.Read(content); err != nil {
		t.Fatal(err)
	}
	seed := w.seed("i-1", userdata.Part{From: "a test",
		File: &userdata.File{Path: "/etc/exact", Content: content, Owner: "dev:dev", Mode: 0o640}},
		userdata.Part{From: "a test", Script: "#!/bin/sh\nls /var/lib/griddle >/srv/seen-by-script\n"})
	disks := append([]string{w.root("one")}, foreign...)
	g, line := w.boot("one", append(disks, data, seed)...)
	if !strings.Contains(line, secure.Marker+"done: web-1") {
		t.Fatalf("the first boot: %s", line)
	}
	w.audit()
	if got := w.run("sudo sha256sum /etc/exact; sudo stat -c '%U:%G %a' /etc/exact"); !strings.HasPrefix(got,
		fmt.Sprintf("%x", sha256.Sum256(content))) || !strings.Contains(got, "dev:dev 640") {
		t.Errorf("the file is %s", got)
	}
	if got := w.run("cat " + secure.Report + " /srv/seen-by-script; hostname; df --output=size -B1M / | tail -1; " +
		"cat /etc/environment"); !strings.HasPrefix(got, "done\n") ||
		!strings.Contains(got, "web-1") || !strings.Contains(got, "http_proxy=http://10.99.0.1:3128") {
		t.Errorf("the server says %s", got)
	} else {
		t.Log(got)
	}
	w.run("echo kept | sudo tee /srv/kept; sync; sudo systemctl reboot")
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Minute)
	defer cancel()
	if _, err := g.Wait(ctx, "Linux version"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Wait(ctx, "web-1 login:"); err != nil {
		t.Fatal(err)
	}
	w.audit()
	// Before the network: systemd says so itself.
	if got := w.run("systemctl show -p ActiveEnterTimestampMonotonic --value nftables.service " +
		"networking.service"); got != "" {
		var nft, network int64
		if _, err := fmt.Sscan(got, &nft, &network); err != nil || nft == 0 || nft > network {
			t.Errorf("nftables began at %d, the network at %d (%v)", nft, network, err)
		}
	}
	w.run("sync")
	g.Kill()

	if err := os.Truncate(data, 3<<29); err != nil { // as if the provider had made the volume larger
		t.Fatal(err)
	}
	socket := w.root("two", "mkdir /etc/systemd/system/sockets.target.wants",
		"symlink /etc/systemd/system/sockets.target.wants/ssh.socket /lib/systemd/system/ssh.socket",
		"rm /etc/systemd/system/multi-user.target.wants/ssh.service", "rm /etc/systemd/system/sshd.service")
	g, line = w.boot("two", append(append([]string{socket}, foreign...), data, w.seed("i-2"))...)
	if !strings.Contains(line, secure.Marker+"done: web-1") {
		t.Fatalf("the first boot of the new system: %s", line)
	}
	w.audit()
	if got := w.run("cat /srv/kept; systemctl is-active ssh.socket; test $(df --output=size -BM /srv | tail -1 | tr " +
		"-d M) -gt 1300 && echo grown"); got != "kept\nactive\ngrown\n" {
		t.Errorf("the new system has %q", got)
	}
	g.Kill()
	for _, f := range foreign {
		if guesttest.Digest(t, f) != before[f] {
			t.Errorf("%s was written to", f)
		}
	}
}

// TestLacking boots an image without nftables, and without a disk that is blank, from a config drive.
func TestLacking(t *testing.T) {
	w := newWorld(t)
	_, line := w.boot("bare", w.root("bare", "rm /usr/sbin/nft"),
		w.disk("used.raw", 1<<30, map[int64][]byte{512 << 20: []byte("data")}),
		w.source(configDrive, "config-2", "i-1"))
	if !strings.Contains(line, secure.Marker+"failed: web-1") {
		t.Fatalf("the first boot: %s", line)
	}
	got := w.run("cat " + secure.Report)
	for _, want := range []string{"failed\n", "firewall: this image has no nftables", "disk: /srv: no blank disk; ",
		"; /dev/vdb has data"} {
		if !strings.Contains(got, want) {
			t.Errorf("the report lacks %q: %s", want, got)
		}
	}
	points, err := audit.Run(t.Context(), w.target(), w.want())
	if err != nil {
		t.Error(err)
	}
	seen := map[string]bool{}
	for _, p := range audit.Failed(points) {
		t.Logf("%s: %s", p.Name, p.Seen)
		seen[p.Name] = true
	}
	if !seen["firewall"] || !seen["data disk at /srv"] {
		t.Errorf("the audit says %v", points)
	}
}
