package template

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
	"time"

	"golang.org/x/sys/unix"
)

// plant makes files ("path" or "path=content"), symbolic links ("path->target"), directories ("path/") and further names
// ("path==other") below dir, all with old times.
func plant(t testing.TB, dir string, what ...string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range what {
		name, target, link := strings.Cut(w, "->")
		if link {
			must(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
			must(os.Symlink(target, filepath.Join(dir, name)))
			continue
		}
		if first, other, ok := strings.Cut(w, "=="); ok {
			must(os.Link(filepath.Join(dir, other), filepath.Join(dir, first)))
			continue
		}
		name, content, ok := strings.Cut(w, "=")
		if !ok {
			content = "x"
		}
		path := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			must(os.MkdirAll(path, 0o755))
			continue
		}
		must(os.MkdirAll(filepath.Dir(path), 0o755))
		must(os.WriteFile(path, []byte(content), 0o640))
	}
	must(filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.Type()&fs.ModeSymlink != 0 {
			return err
		}
		return os.Chtimes(p, time.Unix(1e9, 0), time.Unix(1e9, 0))
	}))
}

// survey lists what is below dir: type, mode, owner, size, time of change and name of each path.
func survey(t testing.TB, dir string) string {
	t.Helper()
	out, err := exec.Command("find", dir, "-mindepth", "1", "-printf", "%y %m %U:%G %s %T@ %P %l\n").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(out), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// names lists what is below dir, directories with a slash, empty files with "=".
func names(t testing.TB, dir string) []string {
	t.Helper()
	out := []string{}
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		name := strings.TrimPrefix(p, dir+"/")
		i, err := e.Info()
		if e.IsDir() {
			name += "/"
		} else if err == nil && e.Type().IsRegular() && i.Size() == 0 {
			name += "="
		}
		out = append(out, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSteps(t *testing.T) {
	tests := []struct {
		step    string
		tree    []string
		want    []string // what is left but for directories that lead to what is left
		removed int64
		bytes   int64
	}{
		{"package-caches",
			[]string{"var/lib/apt/lists/deb_Packages=12345", "var/lib/apt/lists/partial/half", "var/cache/apt/archives/vim.deb", "var/cache/apt/pkgcache.bin",
				"var/cache/dnf/base/x.rpm", "var/cache/apk/a.apk", "var/cache/pacman/pkg/b.zst", "var/lib/pacman/local/vim/desc", "var/lib/dpkg/status"},
			[]string{"var/cache/apk/", "var/cache/apt/archives/", "var/cache/dnf/base/", "var/cache/pacman/pkg/", "var/lib/apt/lists/partial/", "var/lib/dpkg/status", "var/lib/pacman/local/vim/desc"}, 7, 11},
		{"logs",
			[]string{"var/log/syslog=lines", "var/log/syslog.1", "var/log/syslog.2.gz", "var/log/dpkg.log-20240131", "var/log/app/err.log=x", "var/log/app/err.log.old",
				"var/log/Xorg.0.log", "var/log/empty=", "var/log/journal/0123/system.journal=jjj", "var/log/link->../../etc/passwd", "etc/passwd", "usr/bin/p", "var/log/p.log==usr/bin/p"},
			[]string{"etc/passwd", "usr/bin/p", "var/log/Xorg.0.log=", "var/log/app/err.log=", "var/log/empty=", "var/log/journal/", "var/log/link", "var/log/syslog="}, 10, 14},
		{"leases",
			[]string{"var/lib/dhcp/dhclient.eth0.leases", "var/lib/dhcp/dhclient.leases", "var/lib/dhcp/dhcpd.leases", "var/lib/dhcpcd/eth0.lease", "var/lib/dhcpcd/duid",
				"var/lib/NetworkManager/internal-1-eth0.lease", "var/lib/NetworkManager/NetworkManager.state",
				"run/systemd/netif/leases/2", "var/lib/wicked/lease-eth0-dhcp-ipv4.xml", "var/lib/wicked/duid.xml"},
			[]string{"run/systemd/netif/leases/", "var/lib/NetworkManager/NetworkManager.state", "var/lib/dhcp/dhcpd.leases", "var/lib/dhcpcd/", "var/lib/wicked/"}, 8, 8},
		{"ssh-host-keys",
			[]string{"etc/ssh/ssh_host_rsa_key", "etc/ssh/ssh_host_rsa_key.pub", "etc/ssh/ssh_host_ed25519_key-cert.pub", "etc/ssh/sshd_config", "etc/dropbear/dropbear_rsa_host_key"},
			[]string{"etc/dropbear/", "etc/ssh/sshd_config"}, 4, 4},
		{"machine-id", []string{"etc/machine-id=0123\n", "var/lib/dbus/machine-id"}, []string{"etc/machine-id=", "var/lib/dbus/"}, 2, 6},
		{"machine-id", []string{"etc/machine-id=", "var/lib/dbus/machine-id->/etc/machine-id"}, []string{"etc/machine-id=", "var/lib/dbus/machine-id"}, 0, 0},
		{"random-seeds", []string{"var/lib/systemd/random-seed", "var/lib/systemd/credential.secret", "var/lib/systemd/timers/x", "boot/loader/random-seed", "var/lib/seedrng/seed.credit"},
			[]string{"boot/loader/", "var/lib/seedrng/", "var/lib/systemd/timers/x"}, 4, 4},
		{"histories", []string{"root/.bash_history", "root/.bashrc", "home/ada/.zsh_history", "home/ada/.local/share/fish/fish_history", "home/bob->../root2", "root2/.bash_history"},
			[]string{"home/ada/.local/share/fish/", "home/bob", "root/.bashrc", "root2/.bash_history"}, 3, 3},
		{"udev-rules", []string{"etc/udev/rules.d/70-persistent-net.rules", "etc/udev/rules.d/70-persistent-cd.rules", "etc/udev/rules.d/99-mine.rules", "lib/udev/rules.d/75-persistent-net-generator.rules"},
			[]string{"etc/udev/rules.d/99-mine.rules", "lib/udev/rules.d/75-persistent-net-generator.rules"}, 2, 2},
		{"cloud-init", []string{"var/lib/cloud/instance->instances/i-1", "var/lib/cloud/instances/i-1/sem/x", "var/lib/cloud/seed/nocloud/user-data"},
			[]string{"var/lib/cloud/seed/nocloud/user-data"}, 5, 1},
		{"temporary-files", []string{"tmp/a", "tmp/.X11-unix/X0", "var/tmp/deep/deeper/file=123", "srv/tmp/kept"}, []string{"srv/tmp/kept", "tmp/", "var/tmp/"}, 6, 5},
	}
	for _, tt := range tests {
		t.Run(tt.step, func(t *testing.T) {
			dir := t.TempDir()
			plant(t, dir, tt.tree...)
			got, err := Clean(context.Background(), dir, Options{Steps: []string{tt.step}, Warn: func(w string) { t.Error(w) }})
			if want := []Step{{tt.step, tt.removed, tt.bytes}}; err != nil || !slices.Equal(got, want) {
				t.Errorf("Clean = %+v, %v, want %+v", got, err, want)
			}
			left := names(t, dir)
			left = slices.DeleteFunc(left, func(n string) bool {
				return strings.HasSuffix(n, "/") && slices.ContainsFunc(left, func(o string) bool { return o != n && strings.HasPrefix(o, n) })
			})
			if !slices.Equal(left, tt.want) {
				t.Errorf("left is\n%s\nwant\n%s", strings.Join(left, "\n"), strings.Join(tt.want, "\n"))
			}
			for line := range strings.Lines(survey(t, dir)) {
				if line != "\n" && !strings.HasPrefix(line, "l ") && !strings.Contains(line, " 1000000000.0000000000 ") {
					t.Errorf("times changed: %s", line)
				}
			}
			again, err := Clean(context.Background(), dir, Options{Steps: []string{tt.step}})
			if want := []Step{{tt.step, 0, 0}}; err != nil || !slices.Equal(again, want) {
				t.Errorf("Clean once more = %+v, %v, want %+v", again, err, want)
			}
		})
	}
}

func TestLogsKeepOwnerAndMode(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, "var/log/auth.log=secret")
	path := filepath.Join(dir, "var/log/auth.log")
	if err := errors.Join(os.Chown(path, 7, 4), os.Chmod(path, 0o604), unix.Setxattr(path, "user.x", []byte("v"), 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := Clean(context.Background(), dir, Options{}); err != nil {
		t.Fatal(err)
	}
	if got, want := survey(t, filepath.Dir(path)), "\nf 604 7:4 0 "; !strings.Contains(got, want) {
		t.Errorf("the log is %q, want %q", got, want)
	}
	if n, err := unix.Getxattr(path, "user.x", nil); n != 1 || err != nil {
		t.Errorf("its attribute is gone: %v", err)
	}
}

// TestHostile has every way of the steps led out of the tree, to where each would find what it removes.
func TestHostile(t *testing.T) {
	bait := []string{"log", "log/journal/1", "syslog", "syslog.1", "machine-id", "ssh_host_rsa_key", "random-seed", ".bash_history", "dhclient.leases", "70-persistent-net.rules",
		"x.lease", "tmp/x", "lib/apt/lists/x", "lib/random-seed", "lib/systemd/random-seed", "cache/apt/x", "cloud/x", "ssh/ssh_host_rsa_key", "udev/rules.d/70-persistent-net.rules", "ada/.bash_history"}
	ways := []string{"var", "var/log", "var/lib", "var/lib/apt", "var/lib/apt/lists", "var/cache", "var/cache/apt", "var/lib/dhcp", "var/lib/dbus", "var/lib/systemd", "var/lib/cloud",
		"var/lib/NetworkManager", "var/tmp", "tmp", "etc", "etc/ssh", "etc/machine-id", "etc/udev", "etc/udev/rules.d", "root", "home", "home/ada", "var/log/sub", "var/log/journal",
		"var/log/syslog", "var/log/syslog.1", "tmp/x", "var/lib/dbus/machine-id", "root/.bash_history", "root/.local", "root/.local/share"}
	for _, way := range ways {
		for _, target := range []string{"absolute", "relative", "inside"} {
			t.Run(way+" "+target, func(t *testing.T) {
				base := t.TempDir()
				outside, dir := filepath.Join(base, "outside"), filepath.Join(base, "copy")
				if slices.Contains([]string{"etc/machine-id", "var/log/syslog", "var/log/syslog.1", "tmp/x", "var/lib/dbus/machine-id", "root/.bash_history"}, way) {
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
	plant(t, dir, "etc/machine-id/inner", "var/log=a file", "tmp/ \n\x01", "tmp/...", "tmp/-rf", "root=a file", "etc/ssh/ssh_host_x_key/file", "outside")
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
	want := []string{"etc/", "etc/machine-id/", "etc/machine-id/inner", "etc/ssh/", "outside", "root", "tmp/", "var/", "var/cache/", "var/cache/apt/", "var/log", "var/tmp/"}
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
	plant(t, dir, "var/log/secure", "var/log/old.1", "etc/ssh/ssh_host_rsa_key", "etc/machine-id", "etc/resolv.conf", "tmp/a/b")
	run(t, "chattr", "+a", filepath.Join(dir, "var/log/secure"), filepath.Join(dir, "var/log"), filepath.Join(dir, "tmp/a"))
	run(t, "chattr", "+i", filepath.Join(dir, "etc/ssh/ssh_host_rsa_key"), filepath.Join(dir, "etc/ssh"), filepath.Join(dir, "etc/machine-id"), filepath.Join(dir, "etc/resolv.conf"))
	if _, err := Clean(context.Background(), dir, Options{Warn: func(w string) { t.Error(w) }}); err != nil {
		t.Fatal(err)
	}
	got := slices.DeleteFunc(names(t, dir), func(n string) bool { return n == "lost+found/" })
	if want := []string{"etc/", "etc/machine-id=", "etc/resolv.conf", "etc/ssh/", "tmp/", "var/", "var/log/", "var/log/secure="}; !slices.Equal(got, want) {
		t.Errorf("left is %q, want %q", got, want)
	}
	if out, err := exec.Command("lsattr", filepath.Join(dir, "etc/resolv.conf")).Output(); err != nil || !strings.Contains(strings.Fields(string(out))[0], "i") {
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
	plant(t, tree, "etc/ssh/ssh_host_rsa_key", "home/ada/.bash_history", "var/log/app/log.1", "var/log/journal/0123/x", "var/log/link->app", "tmp/a/b")
	if _, err := Clean(context.Background(), tree, Options{Warn: func(w string) { t.Error(w) }}); err != nil {
		t.Fatal(err)
	}
	want := []string{"etc/", "etc/ssh/", "home/", "home/ada/", "tmp/", "var/", "var/log/", "var/log/app/", "var/log/journal/", "var/log/link"}
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
	if _, err := Clean(context.Background(), dir, Options{Warn: func(s string) { warned = append(warned, s) }}); err != nil {
		t.Fatal(err)
	}
	if want := `temporary-files: "/tmp" is left as it is: something is mounted there`; !slices.Equal(warned, []string{want}) {
		t.Errorf("warned of %q, want %q", warned, want)
	}
	if got := names(t, dir); !slices.Contains(got, "tmp/kept") {
		t.Errorf("left is %q, and what was mounted is gone", got)
	}
}

func TestCleanRefuses(t *testing.T) {
	if _, err := Clean(context.Background(), t.TempDir(), Options{Steps: []string{"logs", "everything"}}); !errors.Is(err, ErrStep) {
		t.Errorf("Clean of an unknown step = %v, want ErrStep", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Clean(ctx, t.TempDir(), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Clean after the end = %v, want context.Canceled", err)
	}
}

func TestParseSteps(t *testing.T) {
	tests := []struct {
		in   string
		want []string
		err  error
	}{
		{"all", Steps(), nil},
		{"none", []string{}, nil},
		{"logs,machine-id", []string{"logs", "machine-id"}, nil},
		{"", []string{""}, ErrStep},
		{"logs,all", []string{"logs", "all"}, ErrStep},
	}
	for _, tt := range tests {
		got, err := ParseSteps(tt.in)
		if !slices.Equal(got, tt.want) || !errors.Is(err, tt.err) {
			t.Errorf("ParseSteps(%q) = %q, %v, want %q, %v", tt.in, got, err, tt.want, tt.err)
		}
	}
}

func TestHooks(t *testing.T) {
	base := t.TempDir()
	copied, hooks := filepath.Join(base, "copy"), filepath.Join(base, "hooks")
	plant(t, copied, "etc/x")
	hook := func(name, script string, mode os.FileMode) {
		t.Helper()
		plant(t, hooks, fmt.Sprintf("%s=#!/bin/sh\n%s\n", name, script))
		if err := os.Chmod(filepath.Join(hooks, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	hook("20-second", `echo "2 $GRIDDLE_SOURCE $GRIDDLE_IMAGE" >>"$1/log"`, 0o755)
	hook("10-first", `[ "$1" = "$GRIDDLE_ROOT" ] && echo 1 >"$1/log"; echo loud`, 0o700)
	hook("15-off", `echo never >>"$1/log"`, 0o644)
	hook("16-old~", `echo never >>"$1/log"`, 0o755)
	plant(t, hooks, "dir/30-inner")
	var said []string
	o := HookOptions{Dir: hooks, Source: "lxc:web", Image: "shop/web", Say: func(s string) { said = append(said, s) }}
	done, err := RunHooks(context.Background(), copied, o)
	if err != nil || len(done) != 2 || done[0].Name != "10-first" || done[1].Name != "20-second" {
		t.Fatalf("RunHooks = %+v, %v, want 10-first and 20-second", done, err)
	}
	sum, err := exec.Command("sha256sum", filepath.Join(hooks, "20-second")).Output()
	if err != nil || !strings.HasPrefix(string(sum), done[1].SHA256+" ") || len(done[1].SHA256) != 64 {
		t.Errorf("the SHA-256 of 20-second is %q, sha256sum says %q, %v", done[1].SHA256, sum, err)
	}
	if b, err := os.ReadFile(filepath.Join(copied, "log")); string(b) != "1\n2 lxc:web shop/web\n" || err != nil {
		t.Errorf("the hooks wrote %q, %v", b, err)
	}
	if want := []string{"hook " + hooks + "/10-first says: loud", "hook " + hooks + "/15-off is skipped: it is not executable"}; !slices.Equal(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}

	hook("17-fails", `echo "no room" >&2; exit 3`, 0o755)
	var exit *exec.ExitError
	if _, err := RunHooks(context.Background(), copied, o); !errors.As(err, &exit) || !strings.Contains(err.Error(), "17-fails: exit status 3:\nno room") {
		t.Errorf("RunHooks with one that fails = %v, want its status and words", err)
	}
	o.Dir = filepath.Join(base, "absent")
	if done, err := RunHooks(context.Background(), copied, o); err != nil || len(done) > 0 {
		t.Errorf("RunHooks without a directory = %+v, %v", done, err)
	}
}

// TestHookInterrupted kills a hook, and what it started, by the end of the context.
func TestHookInterrupted(t *testing.T) {
	base := t.TempDir()
	plant(t, base, "hooks/10-waits=#!/bin/sh\nmkfifo \"$1/ready\"; sleep 1000 & echo >\"$1/ready\"; wait\n", "copy/")
	if err := os.Chmod(filepath.Join(base, "hooks/10-waits"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(base, "copy/ready"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		os.ReadFile(filepath.Join(base, "copy/ready"))
		cancel()
	}()
	if _, err := RunHooks(ctx, filepath.Join(base, "copy"), HookOptions{Dir: filepath.Join(base, "hooks")}); !errors.Is(err, context.Canceled) {
		t.Errorf("RunHooks = %v, want context.Canceled", err)
	}
}
