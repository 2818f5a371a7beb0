package reset_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/bootloader/grubtest"
	"griddle/initramfs/mounttest"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/pool/reset"
	"griddle/initramfs/pool/reset/unit"
	"griddle/initramfs/subvolume"
)

// errandEnv has what this program does in a root of a pool.
const errandEnv = "GRIDDLE_TEST_RESET"

// errand is something that a system that runs does.
type errand struct{ Device, Do string }

// TestMain runs the tests in a mount namespace of their own. With errandEnv it is the agent of a system.
func TestMain(m *testing.M) {
	mounttest.Own()
	if text := os.Getenv(errandEnv); text != "" {
		var e errand
		err := json.Unmarshal([]byte(text), &e)
		if err == nil {
			err = e.do()
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func (e errand) pool() (*pool.Pool, error) {
	return pool.Open(pool.Place{Job: pooltest.Job, Pool: e.Device, ESP: "/esp"})
}

func (e errand) do() (err error) {
	ctx := context.Background()
	if e.Do == "base" {
		return reset.Base(ctx, reset.Options{Pool: e.pool,
			Restart: func(context.Context) error { return nil },
			Say:     func(format string, args ...any) { fmt.Printf(format+"\n", args...) },
			Wait:    func(_ context.Context, d time.Duration) { fmt.Println("waits", d) }})
	}
	p, err := e.pool()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	switch e.Do {
	case "prepare", "keep":
		n, err := reset.Prepare(ctx, p, e.Do == "keep")
		fmt.Println("made", n)
		return err
	case "bless":
		c, err := p.Read()
		for _, r := range c.Roots {
			if r.Runs {
				err = errors.Join(err, p.Bless(r.Name))
			}
		}
		return err
	case "update":
		return errors.Join(reset.First(ctx, p, two, 1), p.Switch(two))
	case "ever":
		fmt.Println("begun")
		for {
			if _, err := reset.Prepare(ctx, p, true); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("%q is not known", e.Do)
}

// machine is one that is reset at each start.
type machine struct {
	pooltest.Made
	base string // what its base is like
}

const one, two = "one@amd64", "two@amd64"

// table is the fstab of a root.
func table(root string) string {
	return "# Written by Griddle\nUUID=1 / btrfs subvol=/@roots/" + root + ",noatime 0 0\nproc /proc proc ro 0 0\n"
}

// newMachine has the base one, which proved itself, with two fresh roots, and the base two.
func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{Made: pooltest.Installed(t)}
	for _, name := range []string{one, two} {
		root := "@roots/" + name + "/"
		pooltest.Put(t, m.Top, map[string]string{root + pool.BaseMarker: "system\n", root + "etc/fstab": table(name),
			root + "boot/initrd.img-6.1.0": "an initrd", root + "etc/griddle/keep.d/site.list": "/srv/data\n",
			root + unit.KeepFile: "/etc/app.conf\n", root + "srv/data/from": "image\n", root + "etc/app.conf": "new\n",
			root + "etc/krb5.keytab": "first", root + "var/lib/systemd/random-seed": "of the base",
			root + "etc/griddle/phone-home.json": "{}", root + "etc/systemd/system/griddle-bless.service": "[Unit]\n"})
		for _, dir := range []string{"proc", "dev", "esp", "mnt", "lib", "lib64"} {
			if err := os.Mkdir(filepath.Join(m.Top, root, dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	m.with(t, func(p *pool.Pool) {
		if err := errors.Join(reset.First(t.Context(), p, one, 2), p.Ready(one, 1, 2), p.Bless(one)); err != nil {
			t.Fatal(err)
		}
	})
	m.base = pooltest.Tree(t, m.Top+"/@roots/"+one)
	return m
}

// with opens the pool as the boot image does.
func (m *machine) with(t *testing.T, do func(*pool.Pool)) {
	t.Helper()
	p, err := pool.Open(pool.Place{Job: pooltest.Job, Pool: m.Device, ESP: m.ESP})
	if err != nil {
		t.Fatal(err)
	}
	do(p)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) contents(t *testing.T) (c pool.Contents) {
	t.Helper()
	m.with(t, func(p *pool.Pool) {
		var err error
		if c, err = p.Read(); err != nil {
			t.Fatal(err)
		}
	})
	return c
}

// start has GRUB choose a root, which must be as wanted, and what Takes said.
func (m *machine) start(t *testing.T, want string) {
	t.Helper()
	if err := subvolume.Sync(m.Top); err != nil {
		t.Fatal(err)
	}
	said := m.contents(t).Takes()
	got := grubtest.Boot(t, m.ESP, m.Device)
	if got.Root != want || said != want {
		t.Fatalf("GRUB starts %s, and Takes says %s, want %s:\n%s", got.Root, said, want, got.Screen)
	}
}

// run has a system do something, and returns what it says.
func (m *machine) run(t *testing.T, root, do string) string {
	t.Helper()
	cmd, stop := m.command(t, root, do)
	out, err := cmd.CombinedOutput()
	stop()
	if err != nil {
		t.Fatalf("%s in %s: %v: %s", do, root, err, out)
	}
	return strings.TrimSpace(string(out))
}

// command is this program in a root that runs.
func (m *machine) command(t *testing.T, root, do string) (cmd *exec.Cmd, stop func()) {
	t.Helper()
	dir, bin := t.TempDir(), t.TempDir()
	pooltest.Tool(t, "cp", "--reflink=auto", os.Args[0], bin+"/agent")
	for _, args := range [][]string{{"-o", "subvol=@roots/" + root, m.Device, dir},
		{"-t", "proc", "proc", dir + "/proc"}, {"--bind", "/dev", dir + "/dev"}, {"--bind", m.ESP, dir + "/esp"},
		{"--bind", bin, dir + "/mnt"}, {"--bind", "/usr", dir + "/usr"}, {"--bind", "/lib", dir + "/lib"},
		{"--bind", "/lib64", dir + "/lib64"}} { // libraries, if the test needs them
		pooltest.Tool(t, "mount", args...)
	}
	e, err := json.Marshal(errand{m.Device, do})
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command("/mnt/agent")
	cmd.Env = append(os.Environ(), errandEnv+"="+string(e))
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir}
	cmd.Dir = "/"
	return cmd, func() { pooltest.Tool(t, "umount", "--recursive", dir) }
}

// names are the fresh roots, by their numbers, those that are ready with a star.
func (m *machine) names(t *testing.T) string {
	t.Helper()
	var out []string
	for _, f := range m.contents(t).Fresh {
		name := strings.Replace(f.Name(), "@amd64~", "", 1)
		if f.Ready {
			name += "*"
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

// write writes a file in a root.
func (m *machine) write(t *testing.T, root, file, text string) {
	t.Helper()
	pooltest.Put(t, m.Top, map[string]string{"@roots/" + root + "/" + file: text})
}

// text is a file of a root.
func (m *machine) text(t *testing.T, root, file string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(m.Top, "@roots", root, file))
	if err != nil {
		return err.(*os.PathError).Err.Error()
	}
	return string(b)
}

// unchanged checks that the base is as it was, and read-only.
func (m *machine) unchanged(t *testing.T) {
	t.Helper()
	dir := m.Top + "/@roots/" + one
	i, err := subvolume.Read(dir)
	if now := pooltest.Tree(t, dir); err != nil || !i.ReadOnly || now != m.base {
		t.Errorf("the base has changed: %+v, %v\n%s\nwant\n%s", i, err, now, m.base)
	}
	if left, err := os.ReadDir(filepath.Join(m.Top, reset.Folder)); err != nil || len(left) > 0 {
		t.Errorf("in %s is %v, %v", reset.Folder, left, err)
	}
}

// env is grubenv.
func (m *machine) env(t *testing.T) bootenv.Env {
	t.Helper()
	e, err := bootenv.Read(m.ESP)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// removed removes a file of a root.
func removed(m *machine, name string) error { return os.Remove(filepath.Join(m.Top, "@roots", name)) }
