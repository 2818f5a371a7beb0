package carry

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/initramfs/maintain"
	"griddle/initramfs/mounttest"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/setting/treetest"
)

func TestMain(m *testing.M) {
	mounttest.Own()
	os.Exit(m.Run())
}

// debian is a pool with roots of a real Debian.
type debian struct {
	t   *testing.T
	top string
}

// image makes an image of another one, by a script that runs in it.
func (d debian) image(name, from, script string) {
	d.t.Helper()
	pooltest.Tool(d.t, "btrfs", "subvolume", "snapshot", d.top+"/"+from, d.top+"/work")
	d.run("work", script)
	pooltest.Tool(d.t, "btrfs", "subvolume", "snapshot", "-r", d.top+"/work", d.top+"/"+name)
	pooltest.Tool(d.t, "btrfs", "subvolume", "delete", d.top+"/work")
}

// run runs a script in a root, and returns its output.
func (d debian) run(root, script string) string {
	d.t.Helper()
	out, err := treetest.Tree{Dir: d.top + "/" + root}.Run(d.t.Context(), "bash", "-euc", script)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

func (d debian) open(name string) *os.Root {
	d.t.Helper()
	root, err := os.OpenRoot(d.top + "/" + name)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { root.Close() })
	return root
}

// root makes a root of an image as the agent does, and carries from another one to it.
func (d debian) root(name, image, from, fromImage string) Report {
	d.t.Helper()
	pooltest.Tool(d.t, "btrfs", "subvolume", "snapshot", d.top+"/"+image, d.top+"/"+name)
	pooltest.Put(d.t, d.top+"/"+name, map[string]string{
		"etc/fstab": "UUID=pool / btrfs subvol=/@roots/" + name + " 0 0\n", "etc/hostname": "of-the-image\n",
		"etc/machine-id": "ffffffffffffffffffffffffffffffff\n", "etc/ssh/ssh_host_rsa_key": "of all machines"})
	if from == "" {
		return Report{}
	}
	t := Trees{Old: d.open(from), New: d.open(name)}
	if fromImage != "" {
		t.Image = d.open(fromImage)
	}
	r, err := Carry(d.t.Context(), t, []string{"/srv/notes", "/var/lib/web"})
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

// maintain runs a task of griddle-agent maintain on a root.
func (d debian) maintain(root *os.Root, task string, v maintain.Values) {
	d.t.Helper()
	found, _ := maintain.Find(task)
	if _, err := found.Do(d.t.Context(), maintain.Machine{Root: root}, v); err != nil {
		d.t.Fatalf("%s: %v", task, err)
	}
}

// one is a file with all that it has.
func (d debian) one(root, name string) string {
	d.t.Helper()
	p := filepath.Join(d.top, root, name)
	st, err := os.Lstat(p)
	if err != nil {
		d.t.Error(err)
		return err.Error()
	}
	text, _ := os.ReadFile(p)
	if st.Mode()&os.ModeSymlink != 0 {
		to, _ := os.Readlink(p)
		text = []byte(to)
	}
	sys := st.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%v %d:%d %q", st.Mode(), sys.Uid, sys.Gid, text)
}

// line is the line of a name in a file of accounts.
func (d debian) line(root, file, name string) string {
	d.t.Helper()
	text, err := os.ReadFile(filepath.Join(d.top, root, "etc", file))
	if err != nil {
		d.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, name+":") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

func newDebian(t *testing.T, suites ...string) debian {
	t.Helper()
	dev := pooltest.Loop(t, 2<<30)
	pooltest.Tool(t, "mkfs.btrfs", "--quiet", "--force", dev)
	d := debian{t, t.TempDir()}
	if err := unix.Mount(dev, d.top, "btrfs", 0, "compress=zstd:1"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(d.top, 0) })
	for _, suite := range suites {
		pooltest.Tool(t, "btrfs", "subvolume", "create", d.top+"/"+suite)
		pooltest.Tool(t, "cp", "-a", treetest.Debian(t, suite).Dir+"/.", d.top+"/"+suite)
		pooltest.Tool(t, "install", "/bin/true", d.top+"/"+suite+"/usr/sbin/mount.cifs")
	}
	return d
}

// joined is what a domain leaves in a machine.
var joined = map[string]string{"etc/krb5.keytab": "keys", "etc/krb5.conf": "[libdefaults]", "etc/realmd.conf": "r",
	"etc/sssd/sssd.conf": "[sssd]", "etc/samba/smb.conf": "[global]", "var/lib/samba/private/secrets.tdb": "tdb",
	"var/lib/sss/db/cache_ad.ldb": "cache", "var/lib/sss/secrets/secrets.ldb": "s",
	"var/lib/NetworkManager/secret_key": "nm", "etc/NetworkManager/system-connections/lan.nmconnection": "[connection]"}

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMgER+oTq/ggOWnGoqhy6QkLlMK2+XvJBHehHinQ8WHT ada@example"

// A machine keeps what it is over two updates in a row, and each new image keeps what it brings. The programs of Debian
// check the result.
func TestTwoUpdates(t *testing.T) {
	t.Parallel()
	d := newDebian(t, "bookworm")
	d.image("image1", "bookworm", "mkdir -p /srv/notes; echo image >/srv/notes/a; echo image >/srv/notes/b")
	d.root("root1", "image1", "", "")
	root := d.open("root1")
	d.run("root1", "rm /etc/ssh/ssh_host_*; ssh-keygen -q -A; dbus-uuidgen >/etc/machine-id; chmod 444 /etc/machine-id")
	d.maintain(root, "hostname", maintain.Values{"name": "lab-7"})
	d.maintain(root, "timezone", maintain.Values{"zone": "Europe/Berlin"})
	d.maintain(root, "user", maintain.Values{"name": "ada", "password": "correct horse", "ssh-key": key, "sudo": "yes"})
	d.maintain(root, "root-password", maintain.Values{"password": "battery staple"})
	d.maintain(root, "ssh", maintain.Values{"port": "2222", "password-login": "no"})
	d.maintain(root, "share", maintain.Values{"source": "//files.test/lab", "at": "/srv/my lab", "user": "lab",
		"password": "secret"})
	pooltest.Put(t, d.top+"/root1", joined)
	d.run("root1", `useradd --system mine; gpasswd -a ada audio; chmod 600 /etc/krb5.keytab /etc/sssd/sssd.conf
		chown mine: /var/lib/samba/private/secrets.tdb; echo hers >/srv/notes/a; ln -s a /srv/notes/link`)

	// The next image has services of its own, which take the number of the machine's, and another default shell.
	d.image("image2", "image1", "useradd --system web; useradd --system db; echo two >/etc/version; "+
		"echo two >/srv/notes/b; install -d -o web /var/lib/web")
	d.root("root2", "image2", "root1", "image1")
	d.run("root2", "install -o web /dev/null /var/lib/web/file; echo added >/srv/notes/c; rm /srv/notes/link")
	d.image("image3", "image2", "useradd --system cache; userdel db; passwd -d root; echo three >/etc/version; "+
		"echo three >/srv/notes/a; echo three >/srv/notes/b")
	report := d.root("root3", "image3", "root2", "image2")

	same := []string{"etc/machine-id", "etc/hostname", "etc/localtime", "etc/sudoers.d/90-griddle-settings",
		"etc/ssh/ssh_host_rsa_key", "etc/ssh/ssh_host_rsa_key.pub", "etc/ssh/ssh_host_ed25519_key",
		"etc/ssh/sshd_config.d/00-griddle.conf", "etc/griddle/shares/srv-my_20lab"}
	for name := range joined {
		if name != "var/lib/samba/private/secrets.tdb" { // its owner has another number
			same = append(same, name)
		}
	}
	for _, name := range same {
		want := d.one("root1", name)
		for _, r := range []string{"root2", "root3"} {
			if got := d.one(r, name); got != want {
				t.Errorf("%s: %s is %s, want %s", r, name, got, want)
			}
		}
	}
	for _, r := range []string{"root2", "root3"} {
		for file, names := range map[string][]string{"passwd": {"ada"}, "shadow": {"root", "ada"}, "group": {"ada"},
			"subuid": {"ada"}, "gshadow": {"ada"}} {
			for _, n := range names {
				if want, got := d.line("root1", file, n), d.line(r, file, n); got != want || want == "" {
					t.Errorf("%s: %s of %s is %q, want %q", r, file, n, got, want)
				}
			}
		}
		if got := d.line(r, "group", "audio"); !strings.HasSuffix(got, ":ada") {
			t.Errorf("%s: %s", r, got)
		}
		if d.line(r, "passwd", "web") != d.line("image2", "passwd", "web") {
			t.Errorf("%s: web is %q", r, d.line(r, "passwd", "web"))
		}
		if out := d.run(r, "stat -c %U:%G /var/lib/samba/private/secrets.tdb"); out != "mine:mine\n" {
			t.Errorf("%s: the file of mine belongs to %s", r, out)
		}
		for _, c := range []string{"pwck -q -r", "grpck -r", "visudo -cq", "sshd -t"} {
			d.run(r, "mkdir -p /run/sshd; "+c)
		}
		if out := d.run(r, "mkdir -p /run/sshd; sshd -T"); !strings.HasPrefix(out, "port 2222\n") {
			t.Errorf("%s: ssh is configured with\n%s", r, out)
		}
		fstab := d.one(r, "etc/fstab")
		if !strings.Contains(fstab, "subvol=/@roots/"+r) ||
			!strings.Contains(fstab, `//files.test/lab /srv/my\\040lab cifs`) {
			t.Errorf("%s: %s", r, fstab)
		}
	}
	if out := d.run("root3", "cd /srv/notes; ls; cat *; stat -c %U /var/lib/web/file"); out !=
		"a\nb\nc\nhers\nthree\nadded\nweb\n" {
		t.Errorf("what is kept is\n%s", out)
	}
	if hash := strings.Split(d.line("root3", "shadow", "ada"), ":")[1]; crypt(t, "correct horse", hash) != hash {
		t.Errorf("the password of ada is another one: %s", hash)
	}
	if d.line("root3", "passwd", "cache") == "" || d.line("root3", "passwd", "db") != "" {
		t.Error("the services are not those of the new image")
	}
	if d.one("root3", "etc/version") != d.one("image3", "etc/version") {
		t.Error("the version is not that of the new image")
	}
	for _, want := range []string{"the user ada (1000)", "the password of root", "the machine ID", "/etc/krb5.keytab",
		"the share at /srv/my lab", "the configuration of ssh", "the members of the group audio: ada"} {
		if !slices.Contains(report.Carried, want) {
			t.Errorf("carried %q, without %q", report.Carried, want)
		}
	}
	for _, line := range report.Left { // the image has a new service with the number of mine
		if !strings.Contains(line, " mine, which is ") {
			t.Errorf("left %q", line)
		}
	}

	// Without the image of the old root the same comes, and nothing that the new image has goes.
	d.root("root4", "image3", "root2", "")
	for _, name := range same {
		if got, want := d.one("root4", name), d.one("root1", name); got != want {
			t.Errorf("root4: %s is %s, want %s", name, got, want)
		}
	}
	d.run("root4", "pwck -q -r; grpck -r")
	if got, want := d.line("root4", "shadow", "ada"), d.line("root1", "shadow", "ada"); got != want {
		t.Errorf("root4: %s, want %s", got, want)
	}
}

// A machine with the next release of its distribution, whose services have other numbers, has its people and its files.
func TestNextRelease(t *testing.T) {
	t.Parallel()
	d := newDebian(t, "bookworm", "trixie")
	d.image("image1", "bookworm", "useradd --system --no-create-home db; install -d -o db -g db /var/lib/web")
	d.root("root1", "image1", "", "")
	d.maintain(d.open("root1"), "user", maintain.Values{"name": "ada", "password": "correct horse", "sudo": "yes"})
	d.maintain(d.open("root1"), "root-password", maintain.Values{"password": "battery staple"})
	d.run("root1", "install -o db -g db /dev/null /var/lib/web/file; "+
		"groupadd --system render-farm; gpasswd -a ada render-farm; chown :render-farm /var/lib/web")
	d.image("image2", "trixie", "useradd --system other; useradd --system db")
	d.root("root2", "image2", "root1", "image1")
	for _, c := range []string{"pwck -q -r", "grpck -r", "visudo -cq"} {
		d.run("root2", c)
	}
	out := d.run("root2", "stat -c %U:%G /var/lib/web /var/lib/web/file; id -nG ada; getent passwd ada; "+
		"test $(getent passwd db | cut -d: -f3) != "+strings.Split(d.line("root1", "passwd", "db"), ":")[2])
	want := "db:render-farm\ndb:db\nada render-farm\n" + d.line("root1", "passwd", "ada") + "\n"
	if out != want {
		t.Errorf("root2 has\n%swant\n%s", out, want)
	}
	for _, name := range []string{"root", "ada"} {
		if got, want := d.line("root2", "shadow", name), d.line("root1", "shadow", name); got != want {
			t.Errorf("shadow of %s is %q, want %q", name, got, want)
		}
	}
}

// Numbers that do not fit stop the update before anything of the new root is changed.
func TestConflict(t *testing.T) {
	t.Parallel()
	b := trees(t, map[string]string{"etc/passwd": "root:x:0:0::/root:/bin/sh\n", "etc/machine-id": ""})
	b.old(t, map[string]string{"etc/passwd": "root:x:0:0::/root:/bin/sh\nada:x:1000:100::/home/ada:/bin/sh\n",
		"etc/machine-id": anID})
	const theirs = "root:x:0:0::/root:/bin/sh\nbob:x:1000:100::/home/bob:/bin/sh\n"
	b.new(t, map[string]string{"etc/passwd": theirs})
	_, err := Carry(t.Context(), b.Trees, nil)
	const want = "the user ada of this machine has the number 1000, which the new image gives to bob"
	if !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), want) {
		t.Errorf("Carry = %v, want %s", err, want)
	}
	b.has(t, map[string]string{"etc/passwd": theirs, "etc/machine-id": ""})
}

func crypt(t *testing.T, password, hash string) string {
	t.Helper()
	out, err := exec.Command("perl", "-e", "print crypt($ARGV[0], $ARGV[1])", password, hash).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
