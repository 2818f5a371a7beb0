package carry

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bed is three trees for a test.
type bed struct {
	Trees
	dir string // with the folders old, image and new
}

// trees makes three trees of files; what files has is in all of them.
func trees(t *testing.T, files map[string]string) *bed {
	t.Helper()
	b := &bed{dir: t.TempDir()}
	for name, to := range map[string]**os.Root{"old": &b.Old, "image": &b.Image, "new": &b.New} {
		put(t, filepath.Join(b.dir, name), files)
		root, err := os.OpenRoot(filepath.Join(b.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { root.Close() })
		*to = root
	}
	return b
}

// put writes files; a name that ends in a slash is a folder.
func put(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		p := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(p), 0o755)
		if strings.HasSuffix(name, "/") {
			err = errors.Join(err, os.MkdirAll(p, 0o755))
		} else {
			err = errors.Join(err, os.WriteFile(p, []byte(text), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (b *bed) old(t testing.TB, files map[string]string) { put(t, b.dir+"/old", files) }
func (b *bed) new(t testing.TB, files map[string]string) { put(t, b.dir+"/new", files) }

func (b *bed) carry(t testing.TB, list ...string) Report {
	t.Helper()
	r, err := Carry(t.Context(), b.Trees, list)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (b *bed) has(t testing.TB, files map[string]string) {
	t.Helper()
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(b.dir, "new", name)); err != nil || string(got) != want {
			t.Errorf("%s = %q, %v, want %q", name, got, err, want)
		}
	}
}

func (b *bed) lacks(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(b.dir, "new", name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there: %v", name, err)
		}
	}
}

const anID = "0123456789abcdef0123456789abcdef\n"

func TestIdentity(t *testing.T) {
	b := trees(t, map[string]string{"etc/hosts": "127.0.0.1 localhost\n127.0.1.1 template\n",
		"etc/hostname": "template\n", "etc/machine-id": "", "var/lib/systemd/": "", "etc/ssh/sshd_config": "x"})
	b.old(t, map[string]string{"etc/machine-id": anID, "etc/hostname": "lab-7\n", "etc/adjtime": "0 0 0\n",
		"etc/hosts": "127.0.0.1 localhost\n127.0.1.1 lab-7.example.org lab-7\n", "etc/ssh/ssh_host_rsa_key": "secret",
		"etc/ssh/ssh_host_rsa_key.pub": "public", "var/lib/systemd/credential.secret": "s",
		"var/lib/systemd/random-seed": "used", "var/lib/dbus/machine-id": "other",
		"etc/iscsi/initiatorname.iscsi": "iqn"})
	b.new(t, map[string]string{"etc/ssh/ssh_host_ed25519_key": "of all machines", "var/lib/dbus/machine-id": "x",
		"etc/hosts": "127.0.0.1 localhost\n127.0.1.1 template\n::1 ip6\n"})
	if err := os.Chmod(b.dir+"/old/etc/ssh/ssh_host_rsa_key", 0o600); err != nil {
		t.Fatal(err)
	}
	r := b.carry(t)
	b.has(t, map[string]string{"etc/machine-id": anID, "var/lib/dbus/machine-id": anID, "etc/hostname": "lab-7\n",
		"etc/hosts":                "127.0.0.1 localhost\n127.0.1.1\tlab-7.example.org lab-7\n::1 ip6\n",
		"etc/ssh/ssh_host_rsa_key": "secret", "etc/ssh/ssh_host_rsa_key.pub": "public", "etc/ssh/sshd_config": "x",
		"var/lib/systemd/credential.secret": "s", "etc/adjtime": "0 0 0\n", "etc/iscsi/initiatorname.iscsi": "iqn"})
	b.lacks(t, "etc/ssh/ssh_host_ed25519_key")
	for name, want := range map[string]os.FileMode{"etc/machine-id": 0o444, "etc/ssh/ssh_host_rsa_key": 0o600} {
		if st, err := os.Stat(filepath.Join(b.dir, "new", name)); err != nil || st.Mode() != want {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	}
	seed, err := os.ReadFile(b.dir + "/new/var/lib/systemd/random-seed")
	if err != nil || len(seed) != 512 {
		t.Errorf("a seed of %d bytes, %v", len(seed), err)
	}
	for _, want := range []string{"the machine ID", "the hostname lab-7", "/etc/ssh/ssh_host_rsa_key"} {
		if !slices.Contains(r.Carried, want) {
			t.Errorf("carried %q, without %s", r.Carried, want)
		}
	}
}

// What the old system does not have stays as the new root has it, but for keys, which all machines would have.
func TestNoIdentity(t *testing.T) {
	b := trees(t, map[string]string{"etc/hosts": "127.0.1.1 new\n", "etc/hostname": "",
		"etc/machine-id": "uninitialized\n"})
	b.new(t, map[string]string{"etc/machine-id": anID, "etc/hostname": "new\n", "etc/ssh/ssh_host_rsa_key": "new",
		"etc/adjtime": "new"})
	r := b.carry(t)
	b.has(t, map[string]string{"etc/machine-id": anID, "etc/hostname": "new\n", "etc/hosts": "127.0.1.1 new\n",
		"etc/adjtime": "new"})
	b.lacks(t, "var", "etc/ssh/ssh_host_rsa_key")
	if len(r.Left) != 3 {
		t.Errorf("left %q", r.Left)
	}
}
