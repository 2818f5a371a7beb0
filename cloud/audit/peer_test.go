package audit_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"griddle/appliance/e2e/machinetest"
	"griddle/cloud/audit"
	"griddle/cloud/guesttest"
	"griddle/cloud/userdata/secure"
)

// TestMain is sudo where this program is called so: what it is given, it runs as root.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) != "sudo" {
		os.Exit(m.Run())
	}
	args := slices.DeleteFunc(os.Args[1:], func(a string) bool { return a == "-n" })
	if args[0] == "-l" {
		if args[2] == "ops" {
			os.Stdout.WriteString("    (ALL) NOPASSWD: ALL\n")
		}
		return
	}
	if err := syscall.Setuid(0); err != nil {
		panic(err)
	}
	if err := syscall.Exec("/bin/sh", append([]string{"sh", "-c", `PATH=/usr/sbin:/usr/bin:/sbin:/bin; exec "$@"`,
		"sh"}, args...), os.Environ()); err != nil {
		panic(err)
	}
}

func newKey(t *testing.T) (string, ssh.Signer) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), signer
}

// rig starts sshd with /etc of its own, in which ops and dev are users; its arguments are a directory and lines of
// sshd's configuration and of shadow.
const rig = `set -e
mount --make-rprivate /
cp -a /etc "$1/etc"
mount --bind "$1/etc" /etc
mount -t tmpfs -o mode=755 none /run
mount -t tmpfs -o mode=755 none /home
mkdir /run/sshd
for u in ops:1990 dev:1991; do
	n=${u%:*} i=${u#*:}
	echo "$n:x:$i:$i::/home/$n:/bin/sh" >>/etc/passwd
	echo "$n:x:$i:" >>/etc/group
	mkdir -p "/home/$n/.ssh"; cp "$1/authorized_keys" "/home/$n/.ssh/"; chown -R "$i:$i" "/home/$n"; chmod 700 "/home/$n" "/home/$n/.ssh"
done
printf '%s\n' "$3" >/etc/shadow
rm -rf /etc/ssh/ssh_host_* /etc/ssh/sshd_config.d; mkdir /etc/ssh/sshd_config.d
printf '%s\n' "$2" "HostKey $1/hostkey" "SetEnv PATH=$1/bin:/usr/bin:/bin" 'UsePAM no' >/etc/ssh/sshd_config
# The host's systemd does not know of this.
printf '#!/bin/sh\necho enabled\n' >"$1/bin/systemctl"; chmod 755 "$1/bin/systemctl"
nft -f "$1/rules"
exec /usr/sbin/sshd -D -e
`

// server runs sshd in a namespace and returns how it is reached.
func server(t *testing.T, config, shadow string) audit.Target {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	lan, err := guesttest.NewLAN(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// sshd's users must get at what lies there.
	dir, err := os.MkdirTemp("", "sshd")
	if err != nil {
		t.Fatal(err)
	}
	hostkey, host := newKey(t)
	_, admin := newKey(t)
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	sudo := filepath.Join(dir, "bin", "sudo")
	line := string(ssh.MarshalAuthorizedKey(admin.PublicKey()))
	rules := ruleset(t, line)
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(filepath.Dir(sudo), 0o755), os.WriteFile(sudo, self, 0o755),
		os.Chmod(sudo, 0o755|os.ModeSetuid),
		os.WriteFile(filepath.Join(dir, "hostkey"), []byte(hostkey), 0o600),
		os.WriteFile(filepath.Join(dir, "rules"), []byte(rules), 0o600),
		os.WriteFile(filepath.Join(dir, "authorized_keys"), []byte(line), 0o644)); err != nil {
		t.Fatal(err)
	}
	cmd := lan.Command(ctx, "unshare", "--mount", "sh", "-c", rig, "sh", dir, config, shadow)
	stderr, writer := io.Pipe()
	cmd.Stderr = writer
	done, err := machinetest.Hold(cmd, nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-done
		_ = writer.Close()
	}()
	listening := make(chan bool)
	ended := make(chan struct{})
	var said []string
	go func() {
		defer close(ended)
		for s := bufio.NewScanner(stderr); s.Scan(); {
			if said = append(said, s.Text()); strings.Contains(s.Text(), "Server listening on 0.0.0.0 port 2222.") {
				listening <- true
			}
		}
		close(listening)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		if t.Failed() {
			t.Logf("sshd:\n%s", strings.Join(said, "\n"))
		}
		if err := errors.Join(lan.Close(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	if !<-listening {
		<-ended
		t.Fatalf("sshd does not start: %s; run make deps", strings.Join(said, "\n"))
	}
	return audit.Target{SSH: netip.MustParseAddrPort("127.0.0.1:2222"), HostKey: host.PublicKey(), Signer: admin,
		Dial: lan.DialContext,
		Scan: lan.Host.Addr(), From: 2200, To: 2230, Wait: 2 * time.Second}
}

// ruleset is what the secure state loads.
func ruleset(t *testing.T, key string) string {
	t.Helper()
	s := secure.Server{Hostname: "web-1", Admin: "ops",
		Users: []secure.User{{Name: "ops", Keys: []string{key}, Sudo: true}}, SSH: secure.SSH{Port: 2222},
		Ports: []secure.Port{{Protocol: "tcp", From: 80, To: 90}, {Protocol: "icmp"}}}
	parts, err := s.Parts()
	if err != nil {
		t.Fatal(err)
	}
	script := parts[0].Config["bootcmd"].([]any)[0].([]any)[5].(string)
	_, rules, _ := strings.Cut(script, "<<'END'\n")
	rules, _, _ = strings.Cut(rules, "END\n")
	return rules
}

func want() audit.Want {
	return audit.Want{Admin: "ops", Users: []audit.User{{Name: "ops", Sudo: true}, {Name: "dev"}}, SSHPort: 2222,
		Ports: []audit.Port{{Protocol: "tcp", From: 80, To: 90}, {Protocol: "icmp"}}}
}

// TestSecureSSHD audits a server that is as it should be: OpenSSH, nft and awk are the real ones.
func TestSecureSSHD(t *testing.T) {
	target := server(t, "Port 2222\nPermitRootLogin no\nAuthenticationMethods publickey\nPasswordAuthentication no\n"+
		"KbdInteractiveAuthentication no\nAllowUsers ops dev",
		"root:!:1::::::\nops:*:1::::::\ndev:!*:1::::::")
	points, err := audit.Run(t.Context(), target, want())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range points {
		t.Logf("%-5v %s: %s", p.OK, p.Name, p.Seen)
	}
	if bad := audit.Failed(points); len(bad) > 0 {
		t.Errorf("failed: %v", bad)
	}
	if len(points) < 14 {
		t.Errorf("there are only %d points", len(points))
	}

	// The pinned key is the only one that is accepted.
	_, other := newKey(t)
	target.HostKey = other.PublicKey()
	if points, err = audit.Run(t.Context(), target, want()); err == nil || len(audit.Failed(points)) == 0 {
		t.Errorf("with another host key: %v, %v", points, err)
	}
}

// TestOpenSSHD audits one that is not.
func TestOpenSSHD(t *testing.T) {
	target := server(t, "Port 2222\nPort 2223\nPermitRootLogin yes\nPasswordAuthentication yes\n"+
		"AuthorizedKeysFile /home/ops/.ssh/authorized_keys\nStrictModes no",
		"root:$6$x$y:1::::::\nops:*:1::::::\ndev::1::::::")
	points, err := audit.Run(t.Context(), target, want())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range audit.Failed(points) {
		got[p.Name] = p.Seen
	}
	for name, seen := range map[string]string{
		"password login of ops":              "the server asks for one by password",
		"password login of root":             "the server asks for one by password",
		"login of root with the admin's key": "logged in",
		"open ports":                         "[2223] of 2200 to 2230 are open and not declared",
		"locked passwords":                   "not locked: root (set), dev (empty)",
		"sshd's settings for ops":            "permitrootlogin yes",
	} {
		if !strings.Contains(got[name], seen) {
			t.Errorf("%s: %q, want %q", name, got[name], seen)
		}
	}
}

// TestLooseSSHD audits the same server where only some of that was declared.
func TestLooseSSHD(t *testing.T) {
	target := server(t, "Port 2222\nPort 2223\nPermitRootLogin yes\nPasswordAuthentication yes\n"+
		"AuthorizedKeysFile /home/ops/.ssh/authorized_keys\nStrictModes no",
		"root:$6$x$y:1::::::\nops:*:1::::::\ndev::1::::::")
	w := want()
	w.Loose, w.NoRoot, w.Hostname = true, true, "another"
	points, err := audit.Run(t.Context(), target, w)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	noted := 0
	for _, p := range points {
		if p.Note {
			noted++
		}
	}
	for _, p := range audit.Failed(points) {
		got = append(got, p.Name)
	}
	if want := []string{"login of root with the admin's key", "hostname"}; !slices.Equal(got, want) || noted < 5 {
		t.Errorf("failed %q, want %q; %d are noted", got, want, noted)
	}
}
