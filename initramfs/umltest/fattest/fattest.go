// Package fattest runs a test with real FAT filesystems, on machines whose kernel has none: the test binary becomes
// process 1 of a user-mode Linux that sees the files of this machine, and cannot change them.
//
// Call Run at the start of a test with the images of filesystems. It does nothing else where it returns true: the test
// is done, inside, and it passed. Where it returns false the test runs inside, and Mount mounts the images. For
// anything else that this machine's kernel does not have, Load loads other modules, and the images are /dev/ubda,
// /dev/ubdb….
package fattest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inside is set in the environment of process 1.
const inside = "GRIDDLE_FATTEST"

// limit is how long a test may run inside, on a machine that does much else.
const limit = 20 * time.Minute

// passed is what the console says of a test that passed.
const passed = "--- PASS: "

// Inside reports whether this is process 1.
func Inside() bool { return os.Getenv(inside) != "" }

// Folder is the folder that Run got, inside.
func Folder() string { return os.Getenv(inside) }

// Run runs the test that calls it inside, with the images as disks, and with a folder of this machine that the test
// can read there. It returns false inside.
func Run(t *testing.T, folder string, images ...string) bool {
	t.Helper()
	if Inside() {
		begin(t)
		return false
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"mem=256M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "noreboot", "con=null",
		"con0=null,fd:1", "ssl=null", "panic=1", "init=" + program, inside + "=" + folder}
	for i, image := range images {
		args = append(args, fmt.Sprintf("ubd%c=%s", 'a'+i, image))
	}
	args = append(args, "--", "-test.v", "-test.run=^"+t.Name()+"$")
	work := t.TempDir()
	cmd := exec.Command("linux.uml", args...)
	cmd.Env = append(os.Environ(), "HOME="+work, "TMPDIR=/dev/shm") // for its sockets and its memory
	var console bytes.Buffer
	cmd.Stdout, cmd.Stderr = &console, &console
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // each of its processes is one of this machine's
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("linux.uml (Debian package user-mode-linux, run make deps): %v", err)
	}
	late := time.AfterFunc(limit, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err = cmd.Wait()
	if !late.Stop() {
		t.Fatalf("the test did not end within %v:\n%s", limit, &console)
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if !strings.Contains(console.String(), passed+t.Name()) {
		t.Fatalf("%v:\n%s", err, &console)
	}
	return true
}

// begin makes what the test needs. The machine is off when the test is done.
func begin(t *testing.T) {
	t.Cleanup(func() {
		result := passed
		if t.Failed() {
			result = "--- FAIL: "
		}
		// The package testing says it later, when the machine is off.
		fmt.Println(result + t.Name())
		unix.Sync()
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	})
	for at, kind := range map[string]string{"/run": "tmpfs", "/dev": "devtmpfs", "/proc": "proc", "/sys": "sysfs"} {
		if err := unix.Mount(kind, at, kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			t.Fatalf("mounting %s: %v", at, err)
		}
	}
	if err := errors.Join(os.Setenv("TMPDIR", "/run"), os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")); err != nil {
		t.Fatal(err)
	}
	Load(t, "fs/fat/fat", "fs/fat/vfat", "fs/nls/nls_cp437", "fs/nls/nls_utf8", "fs/nls/nls_ascii")
}

// Load loads modules of the kernel inside, by their path such as "drivers/md/dm-mod", in their order.
func Load(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		found, err := filepath.Glob("/usr/lib/uml/modules/*/kernel/" + name + ".ko")
		if err != nil || len(found) != 1 {
			t.Fatalf("user-mode Linux has %d modules %s, want one; run `make deps`", len(found), name)
		}
		f, err := os.Open(found[0])
		if err == nil {
			err = unix.FinitModule(int(f.Fd()), "", 0)
		}
		if err != nil {
			t.Fatalf("loading %s: %v", name, err)
		}
		f.Close()
	}
}

// Mount mounts image number i, from 0, as the agent does. What unmounts it may be called twice.
func Mount(t *testing.T, i int) (dir string, unmount func()) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount(fmt.Sprintf("/dev/ubd%c", 'a'+i), dir, "vfat", 0, "iocharset=ascii"); err != nil {
		t.Fatal(err)
	}
	mounted := true
	unmount = func() {
		if mounted {
			mounted = false
			if err := unix.Unmount(dir, 0); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(unmount)
	return dir, unmount
}
