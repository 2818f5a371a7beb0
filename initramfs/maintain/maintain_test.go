package maintain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const adaKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMgER+oTq/ggOWnGoqhy6QkLlMK2+XvJBHehHinQ8WHT ada@example"

// debian is a system that has all that tasks need.
var debian = map[string]string{
	"etc/hostname": "lab-1\n", "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 lab-1.example.org lab-1\n",
	"etc/passwd": "root:x:0:0:root:/root:/bin/bash\nold:x:1000:1000::/home/old:/bin/sh\n",
	"etc/shadow": "root:*:19000:0:99999:7:::\nold:*:19000:0:99999:7:::\n", "etc/group": "root:x:0:\nold:x:1000:\n",
	"etc/skel/.profile": "x", "home/old/notes": "x", "root/.profile": "x", "bin/bash": "x",
	"etc/sudoers":                       "@includedir /etc/sudoers.d\n",
	"etc/sudoers.d/90-griddle-settings": "old ALL=(ALL:ALL) NOPASSWD: ALL\n",
	"etc/ssh/sshd_config":               "Include /etc/ssh/sshd_config.d/*.conf\n",
	"usr/share/zoneinfo/Europe/Berlin":  "x",
	"etc/fstab":                         "UUID=a / btrfs noatime 0 0\ntmpfs /srv/scratch tmpfs nosuid 0 0\n",
	"usr/bin/ansible-pull":              "x", "usr/bin/puppet": "x", "usr/bin/git": "x",
	"usr/sbin/mount.nfs": "x", "usr/sbin/mount.cifs": "x", "usr/sbin/realm": "x", "usr/sbin/nft": "x",
	"usr/lib/systemd/system/ssh.service":           "x",
	"usr/lib/systemd/system/nftables.service":      "x",
	"etc/systemd/system/griddle-configure.service": "x",
}

// bed is a system for a test, and what was done to it.
type bed struct {
	Machine
	dir   string
	runs  []string
	input string
	fails string // the program that fails
}

func system(t *testing.T, more map[string]string) *bed {
	t.Helper()
	b := &bed{dir: t.TempDir()}
	for _, files := range []map[string]string{debian, more} {
		for name, text := range files {
			p := filepath.Join(b.dir, name)
			err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o755))
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	root, err := os.OpenRoot(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	b.Machine = Machine{Root: root, Running: true,
		SetHostname: func(name string) error { b.runs = append(b.runs, "sethostname "+name); return nil },
		Bootloader:  func() error { b.runs = append(b.runs, "grub"); return nil },
		Run: func(_ context.Context, p Program) error {
			b.runs = append(b.runs, strings.Join(append([]string{p.Name}, p.Args...), " "))
			b.input += p.Input
			if p.Name == b.fails {
				return errors.New(p.Name + " failed")
			}
			return nil
		}}
	return b
}

func (b *bed) do(t *testing.T, name string, v Values) []string {
	t.Helper()
	said, err := b.try(t, name, v)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return said
}

func (b *bed) try(t *testing.T, name string, v Values) ([]string, error) {
	t.Helper()
	task, ok := Find(name)
	if !ok {
		t.Fatalf("there is no task %s", name)
	}
	b.runs = nil
	return task.Do(t.Context(), b.Machine, v)
}

func (b *bed) file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, name))
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

func (b *bed) ran(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(b.runs, want) {
		t.Errorf("programs: %q, want %q", b.runs, want)
	}
}

func (b *bed) has(t *testing.T, name string, want ...string) {
	t.Helper()
	text := b.file(t, name)
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%s lacks %q:\n%s", name, w, text)
		}
	}
}

func TestNames(t *testing.T) {
	b := system(t, nil)
	b.do(t, "hostname", Values{"name": "db-2"})
	b.ran(t, "sethostname db-2")
	b.has(t, "etc/hostname", "db-2\n")
	b.has(t, "etc/hosts", "127.0.1.1\tdb-2.example.org db-2\n")
	b.do(t, "domain", Values{"domain": "lab.test"})
	b.has(t, "etc/hosts", "127.0.1.1\tdb-2.lab.test db-2\n")
	b.do(t, "timezone", Values{"zone": "Europe/Berlin"})
	to, err := os.Readlink(filepath.Join(b.dir, "etc/localtime"))
	if err != nil || to != "../usr/share/zoneinfo/Europe/Berlin" {
		t.Errorf("localtime leads to %s, %v", to, err)
	}
	b.do(t, "join", Values{"domain": "ad.test", "user": "boss", "password": "secret word"})
	b.ran(t, "realm join --verbose --user boss ad.test")
	if b.input != "secret word\n" {
		t.Errorf("realm read %q", b.input)
	}
}

// verify asks crypt(3) whether the hash of a user is that of a password.
func verify(t *testing.T, shadow, user, password string) {
	t.Helper()
	for line := range strings.Lines(shadow) {
		f := strings.Split(line, ":")
		if f[0] != user {
			continue
		}
		parts := strings.Split(f[1], "$")
		if len(parts) != 5 || parts[1] != "6" {
			t.Fatalf("the hash of %s is %q", user, f[1])
		}
		out, err := exec.Command("perl", "-e", "print crypt($ARGV[0], $ARGV[1])", password, f[1]).Output()
		if err != nil || string(out) != f[1] {
			t.Errorf("crypt(3) makes %q of it, %v, and the file has %q", out, err, f[1])
		}
		return
	}
	t.Errorf("shadow has no %s:\n%s", user, shadow)
}

func TestLogin(t *testing.T) {
	b := system(t, nil)
	b.do(t, "root-password", Values{"password": "correct horse"})
	verify(t, b.file(t, "etc/shadow"), "root", "correct horse")
	b.do(t, "user", Values{"name": "ada", "password": "pä:ss", "ssh-key": adaKey, "sudo": "yes"})
	verify(t, b.file(t, "etc/shadow"), "ada", "pä:ss")
	b.has(t, "home/ada/.ssh/authorized_keys", adaKey)
	b.has(t, "etc/sudoers.d/90-griddle-settings", "old ALL", "ada ALL")
	shadow := b.file(t, "etc/shadow")
	b.do(t, "user", Values{"name": "ada"})
	if b.file(t, "etc/shadow") != shadow {
		t.Error("a task without a password changed it")
	}
	b.has(t, "etc/sudoers.d/90-griddle-settings", "old ALL", "ada ALL")
	b.do(t, "user", Values{"name": "ada", "sudo": "no"})
	if text := b.file(t, "etc/sudoers.d/90-griddle-settings"); text != "old ALL=(ALL:ALL) NOPASSWD: ALL\n" {
		t.Errorf("sudoers = %q", text)
	}
}

func TestSSH(t *testing.T) {
	b := system(t, nil)
	b.do(t, "ssh", Values{"port": "2222", "root-login": "keys"})
	b.ran(t, "sshd -t", "systemctl daemon-reload", "systemctl try-reload-or-restart ssh.service")
	b.do(t, "ssh", Values{"password-login": "no"})
	b.has(t, "etc/ssh/sshd_config.d/00-griddle.conf", "Port 2222\n", "PermitRootLogin prohibit-password\n",
		"PasswordAuthentication no\n")
	b.fails = "sshd"
	_, err := b.try(t, "ssh", Values{"port": "23"})
	if err == nil || !strings.Contains(err.Error(), "keeps the old one") {
		t.Errorf("with a configuration that is not valid: %v", err)
	}
	b.ran(t, "sshd -t")
}

// In the secure state nothing lets in more than keys, and a user with a key is let in.
func TestSecureState(t *testing.T) {
	b := system(t, map[string]string{"etc/ssh/sshd_config.d/00-griddle.conf": "Port 22\nPermitRootLogin no\n" +
		"AuthenticationMethods publickey\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n" +
		"PermitEmptyPasswords no\nAllowUsers old\n"})
	for _, v := range []Values{{"root-login": "yes"}, {"password-login": "yes"}, {"root-login": "keys"}} {
		if _, err := b.try(t, "ssh", v); err == nil || !strings.Contains(err.Error(), "secure state") {
			t.Errorf("ssh %v = %v", v, err)
		}
	}
	b.do(t, "user", Values{"name": "ada", "ssh-key": adaKey})
	b.has(t, "etc/ssh/sshd_config.d/00-griddle.conf", "AllowUsers old ada\n", "AuthenticationMethods publickey\n")
	b.do(t, "ssh", Values{"port": "2222"})
	b.has(t, "etc/ssh/sshd_config.d/00-griddle.conf", "Port 2222\n", "AllowUsers old ada\n")
	b.has(t, "etc/nftables.conf", "tcp dport 2222 accept")
	if said := b.do(t, "root-password", Values{"password": "x"}); !strings.Contains(fmt.Sprint(said), "secure state") {
		t.Errorf("a password in the secure state: %q", said)
	}
}

func TestShare(t *testing.T) {
	b := system(t, nil)
	b.do(t, "share", Values{"source": "files.test:/lab", "at": "/srv/my lab"})
	b.ran(t, "systemctl daemon-reload", "mount /srv/my lab")
	b.do(t, "share", Values{"source": "//files.test/lab", "at": "/srv/smb", "user": "lab", "password": "a,b=c"})
	const cred = "etc/griddle/shares/srv-smb"
	if b.file(t, cred) != "username=lab\npassword=a,b=c\n" {
		t.Errorf("%s = %q", cred, b.file(t, cred))
	}
	if st, err := os.Stat(filepath.Join(b.dir, cred)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v", cred, st.Mode(), err)
	}
	const options = "_netdev,nofail,x-systemd.automount,x-systemd.mount-timeout=30,x-griddle.share"
	want := debian["etc/fstab"] + `files.test:/lab /srv/my\040lab nfs ` + options + " 0 0\n" +
		"//files.test/lab /srv/smb cifs " + options + ",credentials=/" + cred + " 0 0\n"
	if got := b.file(t, "etc/fstab"); got != want {
		t.Errorf("fstab =\n%s\nwant\n%s", got, want)
	}
	if _, err := b.try(t, "share", Values{"source": "a:/b", "at": "/srv/scratch"}); err == nil ||
		!strings.Contains(err.Error(), "change it there") {
		t.Errorf("a share on a folder of fstab: %v", err)
	}
	b.do(t, "unshare", Values{"at": "/srv/my lab"})
	b.do(t, "unshare", Values{"at": "/srv/smb"})
	if b.file(t, "etc/fstab") != debian["etc/fstab"] {
		t.Errorf("fstab = %s", b.file(t, "etc/fstab"))
	}
	if _, err := os.Stat(filepath.Join(b.dir, cred)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the password is still there: %v", err)
	}
	if _, err := b.try(t, "unshare", Values{"at": "/srv/smb"}); err == nil {
		t.Error("a share was removed twice")
	}
}

func TestConfigureAndBootloader(t *testing.T) {
	b := system(t, nil)
	b.do(t, "configure", Values{"tool": "ansible", "git": "https://git.test/lab.git", "every": "30m"})
	b.ran(t, "systemctl daemon-reload", "systemctl start --no-block griddle-configure.service")
	b.do(t, "configure-now", nil)
	b.do(t, "bootloader", nil)
	b.ran(t, "grub")
}

// On a system that does not run, no program starts, and the text says when it has an effect.
func TestSystemThatDoesNotRun(t *testing.T) {
	b := system(t, nil)
	b.Running, b.Run, b.SetHostname = false, nil, nil
	for name, v := range map[string]Values{"hostname": {"name": "db-2"}, "ssh": {"port": "23"},
		"timezone": {"zone": "Europe/Berlin"}, "configure": {"tool": "puppet", "git": "https://git.test/lab.git"}} {
		if said := b.do(t, name, v); !strings.Contains(fmt.Sprint(said), "when the system starts") {
			t.Errorf("%s says %q", name, said)
		}
	}
	for name, v := range map[string]Values{"configure-now": nil,
		"join": {"domain": "ad.test", "user": "boss", "password": "x"}} {
		if _, err := b.try(t, name, v); err == nil || !strings.Contains(err.Error(), "only on the running system") {
			t.Errorf("%s = %v", name, err)
		}
	}
	b.ran(t)
}

func TestRefused(t *testing.T) {
	b := system(t, nil)
	before := snapshot(t, b.dir)
	for _, c := range []struct {
		task string
		v    Values
		want string
	}{
		{"hostname", nil, "it is missing"},
		{"hostname", Values{"name": "a b"}, "hostname"},
		{"hostname", Values{"name": "a\nb"}, "control character"},
		{"domain", Values{"domain": "-x"}, "domain"},
		{"timezone", Values{"zone": "../../etc/passwd"}, "zone"},
		{"user", Values{"name": "root"}, "root"},
		{"user", Values{"name": "Ada"}, "not a name for a user"},
		{"user", Values{"name": "ada", "ssh-key": "-----BEGIN OPENSSH PRIVATE KEY-----"}, "private key"},
		{"user", Values{"name": "ada", "sudo": "maybe"}, "one of yes, no"},
		{"user", Values{"name": "ada", "password": strings.Repeat("x", 501)}, "more than 500 bytes"},
		{"ssh", nil, "give a port"},
		{"ssh", Values{"port": "65536"}, "65535"},
		{"ssh", Values{"port": "x"}, "65535"},
		{"root-password", nil, "it is missing"},
		{"configure", Values{"tool": "chef", "git": "x"}, "puppet, ansible"},
		{"configure", Values{"tool": "puppet", "git": "https://git.test/x", "every": "soon"}, "30m"},
		{"share", Values{"source": "nothing", "at": "/srv/x"}, "host:/path"},
		{"share", Values{"source": "a:/b", "at": "/etc/x"}, "belongs to the system"},
		{"share", Values{"source": "a:/b", "at": "/home"}, "belongs to the system"},
		{"share", Values{"source": "a:/b", "at": "srv"}, "absolute"},
		{"share", Values{"source": "a:/b", "at": "/srv/../etc"}, "absolute"},
		{"share", Values{"source": "a:/b", "at": "/srv/x", "password": "y"}, "NFS takes no user"},
		{"share", Values{"source": "//a/b", "at": "/srv/x", "password": "y"}, "without a user"},
		{"join", Values{"domain": "ad.test", "user": "--x", "password": "y"}, "begins with -"},
	} {
		_, err := b.try(t, c.task, c.v)
		if !errors.Is(err, ErrUsage) || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s %v = %v, want ErrUsage with %q", c.task, c.v, err, c.want)
		}
		for name, secret := range c.v {
			if name == "password" && err != nil && len(secret) > 1 && strings.Contains(err.Error(), secret) {
				t.Errorf("the error has the password: %v", err)
			}
		}
	}
	if now := snapshot(t, b.dir); now != before {
		t.Error("a refused task changed a file")
	}
	b.ran(t)
}

func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			var b []byte
			b, err = os.ReadFile(filepath.Join(dir, name))
			fmt.Fprintf(&out, "%s %q\n", name, b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}
