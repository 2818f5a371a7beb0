// Package umltest runs installed systems under user-mode Linux, for tests: real systemd, btrfs and FAT in seconds, and
// no virtual machine.
//
// Call New for a disk as an install leaves it, Fill to put roots into its pool, and Start: what a boot loader does, and
// then the system up to its end. A root has no kernel of its own here: user-mode Linux is one program with the kernel
// in it. Debian's has btrfs and partition tables, but FAT is a module: Root puts it in.
//
// A restart ends the run, so that the next Start is what the boot loader does next.
package umltest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/machinetest"
	"griddle/appliance/job"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/bootloader/grubtest"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/disk/table"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/sysroot"

	"github.com/google/uuid"
)

// Job is the job that installed the disk.
const Job = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"

// Machine is a machine with one disk.
type Machine struct {
	image  string // file with the disk
	second string // file with another disk, /dev/ubdb; "" for none
	layout table.Layout
	id     string            // UUID of the pool
	kernel bootloader.Extent // the partition for kernels, /dev/ubda4; none if it is empty
}

const sectorSize = 512

// New is a machine whose disk has a bootloader's configuration and an empty pool with @roots, @images, @home and
// @persistent. The root good boots.
func New(t testing.TB, size int64, good string) *Machine {
	t.Helper()
	m := &Machine{image: filepath.Join(t.TempDir(), "disk")}
	err := errors.Join(os.WriteFile(m.image, nil, 0o600), os.Truncate(m.image, size))
	if err == nil {
		m.layout, err = table.WholeDisk(Job, size, sectorSize)
	}
	if err != nil {
		t.Fatal(err)
	}
	m.attached(t, func(dev string) error {
		f, err := disk.Claim(dev)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := errors.Join(m.layout.Write(f, content.Content{}), table.Mark(f, size, sectorSize, Job)); err != nil {
			return err
		}
		return table.Announce(f, "/sys", m.layout.Parts())
	}, func(esp, pool string) error {
		m.id = uuid.NewString()
		return errors.Join(disk.MakeBtrfs(t.Context(), "griddle", m.id, pool),
			disk.MakeFAT(t.Context(), esp, job.ESPLabel(Job), "1B4E28BA", sectorSize), m.configure(t, good, nil))
	})
	m.Fill(t, func(top string) {
		for _, dir := range []string{"@roots", "@images"} {
			if err := os.Mkdir(filepath.Join(top, dir), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"@home", "@persistent"} {
			if err := subvolume.Create(top, name); err != nil {
				t.Fatal(err)
			}
		}
	})
	return m
}

// Attach gives the machine a second disk, /dev/ubdb: a file.
func (m *Machine) Attach(image string) { m.second = image }

// configure writes the bootloader's files. Tools write them into the image: the machine that tests may have no FAT.
func (m *Machine) configure(t testing.TB, good string, boot *bootloader.Boot) error {
	dir := t.TempDir()
	err := errors.Join(os.Mkdir(filepath.Join(dir, bootenv.Folder), 0o755),
		bootloader.WriteConfig(dir, bootloader.Config{ESP: job.ESPLabel(Job), PoolID: m.id, Root: "@roots/" + good,
			Boot: boot}),
		bootenv.Write(dir, bootenv.Env{Good: good}))
	if err == nil {
		_, err = machinetest.Run(t.Context(), "mcopy", "-s", "-o", "-i", m.esp(), filepath.Join(dir, bootenv.Folder),
			"::")
	}
	return err
}

// esp is the EFI system partition, for mtools.
func (m *Machine) esp() string { return fmt.Sprintf("%s@@%d", m.image, m.layout.ESP.Start) }

// attached calls the functions with the disk on a loop device.
func (m *Machine) attached(t testing.TB, whole func(dev string) error, parts func(esp, pool string) error) {
	t.Helper()
	dev := disktest.Attach(t, m.image)
	defer func() {
		forget(t, dev)
		_ = exec.Command("partx", "-d", dev).Run()
		if out, err := exec.Command("losetup", "-d", dev).CombinedOutput(); err != nil {
			t.Errorf("detaching %s: %v: %s", dev, err, out)
		}
	}()
	if err := whole(dev); err != nil {
		t.Fatal(err)
	}
	esp, err := disk.Node(dev, "/sys", m.layout.ESP.Number)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := disk.Node(dev, "/sys", m.layout.Pool.Number)
	if err == nil {
		err = parts(esp, pool)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// forget has the kernel forget which btrfs it saw on a disk. The system that runs meanwhile changes it, and the disk
// may come back as another loop device: then the kernel takes the one that it remembers for a second copy, and refuses
// it.
func forget(t testing.TB, dev string) {
	t.Helper()
	nodes, _ := filepath.Glob(dev + "p*")
	for _, node := range nodes {
		if out, err := exec.Command("btrfs", "device", "scan", "--forget", node).CombinedOutput(); err != nil {
			t.Errorf("forgetting %s: %v: %s", node, err, out)
		}
	}
}

// Fill calls do with the path of the pool's top. No system runs meanwhile. What do opened in the pool it has to close,
// but for the roots that Open opened: a pool that is in use stays mounted, and cannot be attached again.
func (m *Machine) Fill(t testing.TB, do func(top string)) {
	t.Helper()
	m.attached(t, func(dev string) error {
		f, err := disk.Claim(dev)
		if err != nil {
			return err
		}
		defer f.Close()
		return table.Announce(f, "/sys", m.layout.Parts())
	}, func(_, pool string) (err error) {
		top, err := subvolume.Top(pool)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, closeRoots(top.Dir()), top.Close()) }() // also where do ends the test
		do(top.Dir())
		return nil
	})
}

// Root makes the root name of a small Debian that starts little, with FAT for the kernel that runs it.
func Root(t testing.TB, top, name string) sysroot.Dir {
	t.Helper()
	roots := filepath.Join(top, "@roots")
	template, err := e2e.Template(t.Context(), e2e.CacheDir(), os.Stderr)
	if err == nil {
		err = subvolume.Create(roots, name)
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(roots, name)
	if _, err := machinetest.Run(t.Context(), "tar", "-C", dir, "-I", "zstd", "--exclude", "./boot/*",
		"--exclude", "./usr/lib/modules/*", "-xf", template); err != nil {
		t.Fatal(err)
	}
	root := Open(t, top, name)
	Modules(t, root, "fs/fat", "fs/nls")
	for _, unit := range idle {
		if err := root.ReplaceLink("/dev/null", "etc/systemd/system/"+unit); err != nil {
			t.Fatal(err)
		}
	}
	for file, text := range map[string]string{
		"boot/vmlinuz-0":                         "a kernel", // for the eyes of the boot loader
		"etc/fstab":                              Fstab,
		"etc/systemd/journald.conf.d/small.conf": "[Journal]\nSystemMaxUse=8M\n",
		// This watchdog needs a program that is not installed.
		"etc/systemd/system.conf.d/dog.conf": "[Manager]\nRebootWatchdogSec=off\n",
		"etc/systemd/system/scan.service":    scan,
	} {
		if err := root.Write(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := root.ReplaceLink("../scan.service", "etc/systemd/system/sysinit.target.wants/scan.service"); err != nil {
		t.Fatal(err)
	}
	if err := root.MakeDir("persistent", 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

// Fstab is the table of a root.
const Fstab = "/dev/ubda3 / btrfs noatime,x-systemd.device-timeout=0 0 0\n"

// idle are units that these systems do without: each costs a tenth of a second or more.
var idle = []string{"systemd-networkd.service", "systemd-networkd.socket", "systemd-logind.service", "ssh.service",
	"getty@tty1.service", "systemd-pstore.service", "systemd-network-generator.service",
	"systemd-networkd-wait-online.service", "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service",
	"systemd-timesyncd.service", "systemd-tmpfiles-clean.timer", "systemd-journal-catalog-update.service",
	"systemd-udevd.service", "systemd-udev-trigger.service", "systemd-udevd-kernel.socket",
	"systemd-udevd-control.socket", "systemd-tmpfiles-setup.service", "systemd-tmpfiles-setup-dev.service",
	"systemd-sysusers.service", "systemd-random-seed.service", "systemd-sysctl.service", "dbus.service",
	"dbus.socket", "systemd-user-sessions.service", "modprobe@configfs.service", "modprobe@dm_mod.service",
	"modprobe@drm.service", "modprobe@efi_pstore.service", "modprobe@fuse.service", "modprobe@loop.service",
	"systemd-modules-load.service", "systemd-remount-fs.service", "dev-mqueue.mount", "systemd-journal-flush.service"}

// scan tells btrfs the name of its device. The kernel that mounted it calls it /dev/root.
const scan = `[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/btrfs device scan /dev/ubda3
`

// opened are the roots that Open opened, by the tops of their pools.
var opened struct {
	sync.Mutex
	roots map[string][]*os.Root
}

// Open opens a root of the pool until Fill ends.
func Open(t testing.TB, top, name string) sysroot.Dir {
	t.Helper()
	root, err := os.OpenRoot(filepath.Join(top, "@roots", name))
	if err != nil {
		t.Fatal(err)
	}
	opened.Lock()
	defer opened.Unlock()
	if opened.roots == nil {
		opened.roots = map[string][]*os.Root{}
	}
	opened.roots[top] = append(opened.roots[top], root)
	return sysroot.Dir{Root: root}
}

// closeRoots closes all roots of a pool that Open opened.
func closeRoots(top string) (err error) {
	opened.Lock()
	defer opened.Unlock()
	for _, root := range opened.roots[top] {
		err = errors.Join(err, root.Close())
	}
	delete(opened.roots, top)
	return err
}

// modules is where Debian's package has the modules of its kernel.
const modules = "/usr/lib/uml/modules"

// Modules copies folders of the kernel's modules into a root: "fs/fat".
func Modules(t testing.TB, root sysroot.Dir, folders ...string) {
	t.Helper()
	found, err := filepath.Glob(modules + "/*")
	if err != nil || len(found) != 1 {
		t.Fatalf("user-mode Linux has the modules %v, want those of one kernel; run `make deps`", found)
	}
	version := filepath.Base(found[0])
	to := filepath.Join(root.Name(), "usr/lib/modules", version)
	for _, dir := range folders {
		if err := os.CopyFS(filepath.Join(to, "kernel", dir),
			os.DirFS(filepath.Join(found[0], "kernel", dir))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := machinetest.Run(t.Context(), "depmod", "-b", filepath.Join(root.Name(), "usr"), version); err != nil {
		t.Fatal(err)
	}
}

// Env reads grubenv.
func (m *Machine) Env(t testing.TB) bootenv.Env {
	t.Helper()
	out, err := machinetest.Run(t.Context(), "mtype", "-i", m.esp(), "::/"+bootenv.Folder+"/"+bootenv.Names[0])
	if err != nil {
		t.Fatal(err)
	}
	e, err := bootenv.Parse([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// SetEnv writes both copies of grubenv.
func (m *Machine) SetEnv(t testing.TB, e bootenv.Env) {
	t.Helper()
	b, err := e.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range bootenv.Names {
		if _, err := machinetest.Run(t.Context(), "mcopy", "-o", "-i", m.esp(), file,
			"::/"+bootenv.Folder+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
}

// limit is how long a system may run.
const limit = 3 * time.Minute

// Start starts the root that GRUB would start, which counts a try, and returns its name and what its console says up to
// its end.
func (m *Machine) Start(t testing.TB) (root, console string) {
	t.Helper()
	e := m.Env(t)
	var args []string
	if root = e.Good; e.Candidate != "" && e.Tries > 0 {
		root, e.Tries = e.Candidate, e.Tries-1
		m.SetEnv(t, e)
		args = append(args, "griddle.try")
	}
	args = append(args, "rootflags=subvol=@roots/"+root)
	console = m.run(t, args, "")
	return root, console
}

// Boot has GRUB itself choose the root, and runs that up to its end. If the console says cut, the power goes away. The
// kernel of the root needs an initrd for the eyes of GRUB.
func (m *Machine) Boot(t testing.TB, cut string) (root, console string) {
	t.Helper()
	s := grubtest.Start(t, m.image)
	if s.Root == "" {
		t.Fatalf("GRUB starts nothing:\n%s", s.Screen)
	}
	var args []string
	for _, a := range s.Args {
		if strings.HasPrefix(a, "rootflags=") || strings.HasPrefix(a, "systemd.") || a == bootloader.Try {
			args = append(args, a)
		}
	}
	return s.Root, m.run(t, args, cut)
}

// hardware are the kernel arguments for what the machine has.
func (m *Machine) hardware() []string {
	args := []string{"mem=512M", "ubda=" + m.image, "root=/dev/ubda3", "rootfstype=btrfs", "rw", "noreboot",
		"con0=null,fd:1", "con=null", "ssl=null", "panic=1"}
	if m.second != "" {
		args = append(args, "ubdb="+m.second)
	}
	return args
}

// run runs a system up to its end, or until its console says cut, and returns what that says.
func (m *Machine) run(t testing.TB, args []string, cut string) string {
	t.Helper()
	work := t.TempDir()
	out, err := os.Create(filepath.Join(work, "console"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command("linux.uml", append(m.hardware(), args...)...)
	cmd.Env = append(os.Environ(), "HOME="+work, "TMPDIR=/dev/shm") // for its sockets and its memory
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // each of its processes is one of this machine's
	done, err := machinetest.Hold(cmd, nil)
	if errors.Is(err, exec.ErrNotFound) {
		t.Fatal("linux.uml is missing: run `make deps`")
	}
	if err != nil {
		t.Fatal(err)
	}
	late := time.After(limit)
	for running := true; running; {
		select {
		case <-done:
			running, late = false, nil
		case <-late:
			running = false
		case <-time.After(50 * time.Millisecond):
			if said, _ := os.ReadFile(out.Name()); cut != "" && strings.Contains(string(said), cut) {
				running, late = false, nil
			}
		}
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	<-done
	console, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	if late != nil {
		t.Fatalf("the system did not end within %v:\n%s", limit, console)
	}
	t.Logf("it took %v of the processors",
		(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Round(time.Millisecond))
	return string(console)
}
