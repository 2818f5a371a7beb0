package template

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHostile has every way of the steps led out of the tree, to where each would find what it removes.
func TestHostile(t *testing.T) {
	bait := []string{"log", "log/journal/1", "syslog", "syslog.1", "machine-id", "ssh_host_rsa_key", "random-seed",
		".bash_history", "dhclient.leases", "70-persistent-net.rules",
		"x.lease", "tmp/x", "lib/apt/lists/x", "lib/random-seed", "lib/systemd/random-seed", "cache/apt/x", "cloud/x",
		"ssh/ssh_host_rsa_key", "udev/rules.d/70-persistent-net.rules", "ada/.bash_history"}
	ways := []string{"var", "var/log", "var/lib", "var/lib/apt", "var/lib/apt/lists", "var/cache", "var/cache/apt",
		"var/lib/dhcp", "var/lib/dbus", "var/lib/systemd", "var/lib/cloud",
		"var/lib/NetworkManager", "var/tmp", "tmp", "etc", "etc/ssh", "etc/machine-id", "etc/udev", "etc/udev/rules.d",
		"root", "home", "home/ada", "var/log/sub", "var/log/journal",
		"var/log/syslog", "var/log/syslog.1", "tmp/x", "var/lib/dbus/machine-id", "root/.bash_history", "root/.local",
		"root/.local/share"}
	for _, way := range ways {
		for _, target := range []string{"absolute", "relative", "inside"} {
			t.Run(way+" "+target, func(t *testing.T) {
				base := t.TempDir()
				outside, dir := filepath.Join(base, "outside"), filepath.Join(base, "copy")
				if slices.Contains([]string{"etc/machine-id", "var/log/syslog", "var/log/syslog.1", "tmp/x",
					"var/lib/dbus/machine-id", "root/.bash_history"}, way) {
					plant(t, outside, "victim")
					outside = filepath.Join(outside, "victim")
				} else {
					for _, b := range bait {
						if b != "log" {
							plant(t, outside, b)
						}
					}
				}
				if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(way)), 0o755); err != nil {
					t.Fatal(err)
				}
				to := outside
				switch target {
				case "relative":
					to, _ = filepath.Rel(filepath.Join(dir, filepath.Dir(way)), outside)
				case "inside":
					inside := filepath.Join(dir, "victims")
					if err := os.Rename(outside, inside); err != nil {
						t.Fatal(err)
					}
					outside = inside
					to, _ = filepath.Rel(filepath.Join(dir, filepath.Dir(way)), inside)
				}
				if err := os.Symlink(to, filepath.Join(dir, way)); err != nil {
					t.Fatal(err)
				}
				before := survey(t, outside)
				words := sum(t, outside)
				if _, err := Clean(context.Background(), dir, Options{}); err != nil {
					t.Fatal(err)
				}
				if after := survey(t, outside); after != before || sum(t, outside) != words {
					t.Errorf("what the link leads to was\n%s\nand is\n%s", before, after)
				}
			})
		}
	}
}

// sum is the content of a file, "" of a directory.
func sum(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, unix.EISDIR) {
		t.Fatal(err)
	}
	return string(b)
}

func TestHostileNames(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "copy")
	plant(t, dir, "etc/machine-id/inner", "var/log=a file", "tmp/ \n\x01", "tmp/...", "tmp/-rf", "root=a file",
		"etc/ssh/ssh_host_x_key/file", "outside")
	deep := filepath.Join(dir, "var/tmp", strings.Repeat("d/", 1500))
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"fifo.1", "fifo", "dev"} {
		mode := uint32(unix.S_IFIFO)
		if n == "dev" {
			mode = unix.S_IFBLK
		}
		if err := os.MkdirAll(filepath.Join(dir, "var/cache/apt"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mknod(filepath.Join(dir, "var/cache/apt", n), mode|0o600, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Clean(context.Background(), dir, Options{}); err != nil {
		t.Fatal(err)
	}
	want := []string{"etc/", "etc/machine-id/", "etc/machine-id/inner", "etc/ssh/", "outside", "root", "tmp/", "var/",
		"var/cache/", "var/cache/apt/", "var/log", "var/tmp/"}
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("left is %q, want %q", got, want)
	}
}

// ext4 mounts a new filesystem with the given features.
func ext4(t *testing.T, features string) (dir string) {
	t.Helper()
	base := t.TempDir()
	disk, dir := filepath.Join(base, "disk"), filepath.Join(base, "dir")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "truncate", "-s", "16M", disk)
	run(t, "mkfs.ext4", "-q", "-O", features, disk)
	run(t, "mount", "-o", "loop", disk, dir)
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func run(t *testing.T, program string, args ...string) {
	t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); errors.Is(err, exec.ErrNotFound) {
		t.Fatalf("%s is missing; run make deps", program)
	} else if err != nil {
		t.Fatalf("%s: %v: %s", program, err, out)
	}
}

// TestAttributes has files and directories that may not be changed.
func TestAttributes(t *testing.T) {
	dir := ext4(t, "filetype")
	plant(t, dir, "var/log/secure", "var/log/old.1", "etc/ssh/ssh_host_rsa_key", "etc/machine-id",
		"etc/resolv.conf", "tmp/a/b")
	run(t, "chattr", "+a", filepath.Join(dir, "var/log/secure"), filepath.Join(dir, "var/log"),
		filepath.Join(dir, "tmp/a"))
	run(t, "chattr", "+i", filepath.Join(dir, "etc/ssh/ssh_host_rsa_key"), filepath.Join(dir, "etc/ssh"),
		filepath.Join(dir, "etc/machine-id"), filepath.Join(dir, "etc/resolv.conf"))
	if _, err := Clean(context.Background(), dir, Options{Warn: func(w string) { t.Error(w) }}); err != nil {
		t.Fatal(err)
	}
	got := slices.DeleteFunc(names(t, dir), func(n string) bool { return n == "lost+found/" })
	if want := []string{"etc/", "etc/machine-id=", "etc/resolv.conf", "etc/ssh/", "tmp/", "var/", "var/log/",
		"var/log/secure="}; !slices.Equal(got, want) {
		t.Errorf("left is %q, want %q", got, want)
	}
	if out, err := exec.Command("lsattr", filepath.Join(dir, "etc/resolv.conf")).Output(); err != nil ||
		!strings.Contains(strings.Fields(string(out))[0], "i") {
		t.Errorf("lsattr of resolv.conf = %s, %v, want it immutable still", out, err)
	}
	for line := range strings.Lines(survey(t, dir)) {
		if line != "\n" && !strings.Contains(line, "lost+found") && !strings.Contains(line, " 1000000000.0000000000 ") {
			t.Errorf("times changed: %s", line)
		}
	}
}

// TestNoTypes has a filesystem whose directories do not tell what is in them, as older mkfs made it.
func TestNoTypes(t *testing.T) {
	dir := ext4(t, "^filetype")
	tree := filepath.Join(dir, "tree")
	plant(t, tree, "etc/ssh/ssh_host_rsa_key", "home/ada/.bash_history", "var/log/app/log.1", "var/log/journal/0123/x",
		"var/log/link->app", "tmp/a/b")
	if _, err := Clean(context.Background(), tree, Options{Warn: func(w string) { t.Error(w) }}); err != nil {
		t.Fatal(err)
	}
	want := []string{"etc/", "etc/ssh/", "home/", "home/ada/", "tmp/", "var/", "var/log/", "var/log/app/",
		"var/log/journal/", "var/log/link"}
	if got := names(t, tree); !slices.Equal(got, want) {
		t.Errorf("left is %q, want %q", got, want)
	}
}

// TestMounted has a filesystem mounted in the tree, which is not of it.
func TestMounted(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, "var/log/x", "tmp/")
	if err := unix.Mount("none", filepath.Join(dir, "tmp"), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(filepath.Join(dir, "tmp"), unix.MNT_DETACH) })
	plant(t, dir, "tmp/kept")
	var warned []string
	if _, err := Clean(context.Background(), dir,
		Options{Warn: func(s string) { warned = append(warned, s) }}); err != nil {
		t.Fatal(err)
	}
	if want := `temporary-files: "/tmp" is not touched: a filesystem is mounted there`; !slices.Equal(warned,
		[]string{want}) {
		t.Errorf("warned of %q, want %q", warned, want)
	}
	if got := names(t, dir); !slices.Contains(got, "tmp/kept") {
		t.Errorf("left is %q, and what was mounted is gone", got)
	}
}
