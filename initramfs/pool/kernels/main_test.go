package kernels

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/machinetest"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/mounttest"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/kernels/unit"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/sysroot"

	"github.com/google/uuid"
)

// agentEnv makes this program the agent of a system of debian: it has the devices of the pool and of the partition for
// kernels.
const agentEnv = "GRIDDLE_TEST_KERNELS"

// TestMain runs the tests in a mount namespace of their own. With agentEnv it is the agent.
func TestMain(m *testing.M) {
	mounttest.Own()
	if devices := os.Getenv(agentEnv); devices != "" {
		node, boot, _ := strings.Cut(devices, " ")
		c := Here()
		c.Pool = func() (*pool.Pool, error) {
			return pool.Open(pool.Place{Job: pooltest.Job, Pool: node, ESP: "/esp", Boot: boot})
		}
		os.Exit(c.Run(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// name is the root of debian that runs.
const name = "web-1@amd64"

// cryptroot is a hook that puts a program with the name of cryptsetup into initrds.
const cryptroot, cryptrootText = "etc/initramfs-tools/hooks/cryptroot", `#!/bin/sh
[ "$1" = prereqs ] && exit 0
mkdir -p "$DESTDIR/usr/sbin" && cp /bin/true "$DESTDIR/usr/sbin/cryptsetup"
`

// debian is a Debian on a pool that GRUB cannot read. That the pool is not really encrypted here, GRUB does not see.
type debian struct {
	t    *testing.T
	esp  string
	boot string // device
	root sysroot.Dir
	cmd  func(name string, args ...string) *exec.Cmd // runs in it
}

// newDebian makes one, with a partition for kernels of so many MiB, and starts nothing.
func newDebian(t *testing.T, mib int64) debian {
	t.Helper()
	d := debian{t: t, esp: t.TempDir(), boot: pooltest.Loop(t, mib<<20)}
	const id, volume = "0a1b2c3d-0000-4000-8000-0000000000f2", "0a1b2c3d-0000-4000-8000-0000000000f1"
	pooltest.Tool(t, "mkfs.ext4", "-q", "-F", "-U", id, d.boot)
	node := pooltest.Loop(t, 1<<30)
	pooltest.Tool(t, "mkfs.btrfs", "--quiet", node)
	top, err := subvolume.Top(node)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { top.Close() })
	filesystem, err := subvolume.Filesystem(top.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(top.Dir()+"/@roots", 0o700), subvolume.Create(top.Dir()+"/@roots", name),
		bootloader.WriteConfig(d.esp, bootloader.Config{ESP: "GR-1B4E28BA", PoolID: uuid.UUID(filesystem).String(),
			Root: "@roots/" + name, Boot: &bootloader.Boot{ID: id, Volume: volume}}),
		bootenv.Write(d.esp, bootenv.Env{Good: name})); err != nil {
		t.Fatal(err)
	}
	template, err := e2e.Template(t.Context(), e2e.CacheDir(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	pooltest.Tool(t, "mount", "-o", "subvol=@roots/"+name, node, dir)
	t.Cleanup(func() { pooltest.Tool(t, "umount", "--recursive", dir) })
	if _, err := machinetest.Run(t.Context(), "tar", "-C", dir, "-I", "zstd", "--exclude", "./usr/share/doc",
		"--exclude", "./usr/share/locale", "-xf", template); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	d.root = sysroot.Dir{Root: root}
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	if err := errors.Join(d.root.Copy("usr/lib/griddle/griddle-agent", self, 0o755), unit.Install(d.root),
		d.root.Write("etc/initramfs-tools/conf.d/fast", []byte("MODULES=list\nCOMPRESS=gzip\n"), 0o644),
		os.Mkdir(dir+"/esp", 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-t", "proc", "proc", dir + "/proc"}, {"--bind", "/dev", dir + "/dev"},
		{"-t", "tmpfs", "tmpfs", dir + "/run"}, {"--bind", d.esp, dir + "/esp"}} {
		pooltest.Tool(t, "mount", args...)
	}
	d.cmd = func(name string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Env = []string{agentEnv + "=" + node + " " + d.boot, "GRIDDLE_TEST_OWN_MOUNTS=1", "PATH=/usr/sbin:/usr/bin",
			"LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir}
		cmd.Dir = "/"
		return cmd
	}
	return d
}

// run runs a program of the system, and returns what it says. fails says that it fails.
func (d debian) run(fails bool, name string, args ...string) string {
	d.t.Helper()
	out, err := d.cmd(name, args...).CombinedOutput()
	if fails != (err != nil) {
		d.t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// copied reads a file of the copy that GRUB takes.
func (d debian) copied(file string) string {
	d.t.Helper()
	m, err := subvolume.Other("ext4", d.boot)
	if err != nil {
		d.t.Fatal(err)
	}
	defer m.Close()
	found, err := filepath.Glob(filepath.Join(m.Dir(), name, "*", file))
	if err != nil || len(found) != 1 {
		d.t.Fatalf("the partition for kernels has %q, %v", found, err)
	}
	b, err := os.ReadFile(found[0])
	if err != nil {
		d.t.Fatal(err)
	}
	return string(b)
}

// text reads a file of the system.
func (d debian) text(file string) string {
	d.t.Helper()
	b, err := os.ReadFile(filepath.Join(d.root.Name(), file))
	if err != nil {
		d.t.Fatal(err)
	}
	return string(b)
}
