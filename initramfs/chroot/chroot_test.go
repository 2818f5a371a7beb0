package chroot_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/initramfs/chroot"
	"griddle/initramfs/chroot/chroottest"
)

// tree is a system that has busybox and nothing else.
func tree(t *testing.T, dir string) chroot.Root {
	t.Helper()
	chroottest.Busybox(t, dir)
	return chroot.Root{Dir: dir}
}

// sh runs a script and returns its lines.
func sh(t *testing.T, r chroot.Root, c chroot.Call, script string) (lines []string, err error) {
	t.Helper()
	c.Args = []string{"sh", "-c", script}
	c.Line = func(l string) { lines = append(lines, l) }
	before := mounts(t)
	err = r.Do(t.Context(), c)
	if left := leftMounts(t, before); len(left) > 0 {
		t.Errorf("Do left the mounts\n%s", strings.Join(left, "\n"))
	}
	return lines, err
}

func mounts(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(b), "\n")
}

// leftMounts are those that were not there before. Others can go meanwhile: the kernel unmounts what is on a folder
// that another test deletes, in all namespaces.
func leftMounts(t *testing.T, before []string) []string {
	t.Helper()
	return slices.DeleteFunc(mounts(t), func(m string) bool { return slices.Contains(before, m) })
}

// What the package comment says a program finds.
func TestPlace(t *testing.T) {
	r := tree(t, t.TempDir())
	r.Hostname, r.Resolv = "web-7", []byte("nameserver 192.0.2.53\n")
	for _, c := range []struct{ script, want string }{
		{"pwd; umask", "/ 0022"},
		{"ls /dev", "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero"},
		{"cat; echo end", "end"},
		{"echo x >/dev/null && head -c 2 /dev/zero | tr '\\0' z", "zz"},
		{"cat /proc/1/comm; ls -d /proc/[0-9]* | grep -c .", "exe 4"}, // the first, this shell, ls and grep
		{"touch /sys/kernel/x", "touch: /sys/kernel/x: Read-only file system"},
		{"ls -a /run", ". .. griddle-resolv.conf lock"},
		{"cat /etc/resolv.conf", "nameserver 192.0.2.53"},
		{"hostname; hostname changed; hostname", "web-7 changed"},
		{"id -u; env", "0 A=b HOME=/root LANG=C.UTF-8 " +
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
	} {
		lines, _ := sh(t, r, chroot.Call{Env: []string{"A=b"}}, c.script)
		lines = slices.DeleteFunc(lines, func(l string) bool { // set by the shell
			return strings.HasPrefix(l, "PWD=") || strings.HasPrefix(l, "SHLVL=")
		})
		if strings.HasPrefix(c.script, "id") {
			slices.Sort(lines)
		}
		if got := strings.Join(lines, " "); got != c.want {
			t.Errorf("%s = %q, want %q", c.script, got, c.want)
		}
	}
	const write = "echo kept >/tmp/file; echo gone >/run/file; echo gone >/etc/resolv.conf"
	if _, err := sh(t, r, chroot.Call{}, write); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(filepath.Join(r.Dir, "tmp/file")); string(b) != "kept\n" {
		t.Errorf("/tmp/file has %q", b)
	}
	for _, gone := range []string{"run/file", "run/lock", "etc/resolv.conf", "dev/null"} {
		if _, err := os.Lstat(filepath.Join(r.Dir, gone)); err == nil {
			t.Errorf("/%s is left in the tree", gone)
		}
	}
	if name, _ := os.Hostname(); name == "changed" || name == "web-7" {
		t.Error("this machine has the hostname of the root")
	}
}

// resolv.conf of the system stays as it is, whatever it is.
func TestResolv(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"file":     func(p string) error { return os.WriteFile(p, []byte("nameserver 127.0.0.53\n"), 0o644) },
		"missing":  func(string) error { return nil },
		"resolved": func(p string) error { return os.Symlink("../run/systemd/resolve/stub-resolv.conf", p) },
		"absolute": func(p string) error { return os.Symlink("/var/run/NetworkManager/resolv.conf", p) },
	} {
		t.Run(name, func(t *testing.T) {
			r := tree(t, t.TempDir())
			r.Resolv = []byte("nameserver 192.0.2.53\n")
			path := filepath.Join(r.Dir, "etc/resolv.conf")
			if err := os.Symlink("/run", filepath.Join(r.Dir, "var")); err != nil {
				t.Fatal(err)
			}
			_ = os.Remove(filepath.Join(r.Dir, "var"))
			_ = os.Mkdir(filepath.Join(r.Dir, "var"), 0o755)
			_ = os.Symlink("/run", filepath.Join(r.Dir, "var/run"))
			if err := make(path); err != nil {
				t.Fatal(err)
			}
			st, before := os.Lstat(path)
			lines, err := sh(t, r, chroot.Call{}, "cat /etc/resolv.conf")
			if err != nil || strings.Join(lines, "\n") != "nameserver 192.0.2.53" {
				t.Errorf("/etc/resolv.conf = %q, %v", lines, err)
			}
			now, after := os.Lstat(path)
			if (before == nil) != (after == nil) ||
				before == nil && (st.Mode() != now.Mode() || st.Size() != now.Size()) {
				t.Errorf("/etc/resolv.conf is changed: %v, %v", now, after)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	r := tree(t, t.TempDir())
	for name, content := range map[string]string{"python": "#!/usr/bin/python3 -u\n", "data": "\x7fELFbroken"} {
		if err := os.WriteFile(filepath.Join(r.Dir, "bin", name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"sh", "-c", "echo out; echo err >&2; exit 3"}, "running sh in the new root: " +
			"it ended with exit status 3:\nout\nerr"},
		{[]string{"sh", "-c", "kill -SEGV $$"}, "running sh in the new root: " +
			"it was ended by a signal: segmentation fault"},
		{[]string{"sh", "-c", "kill -KILL $$"}, "running sh in the new root: it was ended by a signal: killed"},
		{[]string{"locale-gen"}, "running locale-gen in the new root: it cannot be started: " +
			"the system has no such program"},
		{[]string{"/etc/none"}, "running none in the new root: it cannot be started: no such file or directory"},
		{[]string{"/etc"}, "running etc in the new root: it cannot be started: is a directory"},
		{[]string{"python"}, "running python in the new root: it cannot be started: " +
			"the system does not have its interpreter /usr/bin/python3"},
		{[]string{"data"}, "running data in the new root: it cannot be started: " +
			"it is a script without a #! line, or a program for another processor"},
	} {
		err := r.Run(t.Context(), c.args[0], c.args[1:]...)
		if err == nil || err.Error() != c.want {
			t.Errorf("Run(%q) = %v, want %s", c.args, err, c.want)
		}
	}
	if err := r.Run(t.Context(), "sh", "-c", "exit 0"); err != nil {
		t.Error(err)
	}
	err := chroot.Root{Dir: "/does/not/exist"}.Run(t.Context(), "sh")
	if err == nil || !strings.Contains(err.Error(), "opening /does/not/exist: no such file or directory") {
		t.Errorf("Run without a root = %v", err)
	}
}

// A gigabyte of output costs neither memory nor time, and what is shown of it is bounded.
func TestMuchOutput(t *testing.T) {
	r := tree(t, t.TempDir())
	lines, err := sh(t, r, chroot.Call{Lines: 50}, "yes 0123456789 | head -c 100000000; echo; echo the end; exit 1")
	var failed *chroot.Error
	if !errors.As(err, &failed) || len(failed.Last) != 12 || failed.Last[11] != "the end" {
		t.Fatalf("Do = %v", err)
	}
	if len(lines) != 51 || lines[50] != "(9090861 more lines are not shown)" {
		t.Errorf("there are %d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
	lines, err = sh(t, r, chroot.Call{}, "head -c 1000000000 /dev/zero; echo; "+
		"printf '1%%\\r50%%\\r100%%\\r\\n\\n'")
	if err != nil || len(lines) != 2 || len(lines[0]) != chroot.MaxLine || lines[1] != "100%" {
		t.Errorf("there are %d lines, %v: %.99q", len(lines), err, lines)
	}
}

// Files are in memory, for root alone, and in no arguments or variables.
func TestFiles(t *testing.T) {
	r := tree(t, t.TempDir())
	const canary = "canary-5kQ"
	call := chroot.Call{Files: []chroot.File{{Path: "/run/griddle/hook", Data: []byte("#!/bin/sh\n# " + canary +
		"\ncat /proc/*/cmdline /proc/*/environ | grep -c " + canary[:6] +
		"\nstat -c %a,%n /run/griddle /run/griddle/hook"),
		Mode: 0o700}}, Args: []string{"/run/griddle/hook"}}
	var lines []string
	call.Line = func(l string) { lines = append(lines, l) }
	if err := r.Do(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	// One: grep itself.
	if got := fmt.Sprint(lines); got != "[0 700,/run/griddle 700,/run/griddle/hook]" &&
		got != "[1 700,/run/griddle 700,/run/griddle/hook]" {
		t.Errorf("the program says %s", got)
	}
	if out := command(t, "grep", "-rlc", canary, r.Dir+"/etc", r.Dir+"/tmp", r.Dir+"/run"); out != "" {
		t.Errorf("on the disk: %s", out)
	}
	call.Files[0].Path = "/run/../etc/hook"
	if err := r.Do(t.Context(), call); err == nil || !strings.Contains(err.Error(), "it is not below /run") {
		t.Errorf("Do with %s = %v", call.Files[0].Path, err)
	}
}

// A shell on a terminal has it as its controlling terminal.
func TestTerminal(t *testing.T) {
	ptmx, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer ptmx.Close()
	if err := unix.IoctlSetPointerInt(int(ptmx.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(ptmx.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ptmx.WriteString("echo in the $((40+2)) root >/dev/tty; exit 7\n"); err != nil {
		t.Fatal(err)
	}
	r := tree(t, t.TempDir())
	var failed *chroot.Error
	if err := r.Do(t.Context(), chroot.Call{Args: []string{"sh", "-i"}, Terminal: tty}); !errors.As(err, &failed) ||
		failed.Status != 7 {
		t.Errorf("the shell ended with %v", err)
	}
	_ = tty.Close() // the last one: what is left to read ends
	got, _ := io.ReadAll(ptmx)
	if !strings.Contains(string(got), "in the 42 root") {
		t.Errorf("the terminal has %q", got)
	}
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	var status *exec.ExitError
	if err != nil && !(errors.As(err, &status) && name == "grep") {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	if err != nil {
		return ""
	}
	return string(out)
}
