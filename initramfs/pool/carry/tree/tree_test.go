package tree

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
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/initramfs/mounttest"
	"griddle/initramfs/pool/pooltest"
)

func TestMain(m *testing.M) {
	mounttest.Own()
	os.Exit(m.Run())
}

// bed is three subvolumes of one btrfs.
type bed struct {
	Roots
	top string
}

// pool is a btrfs with the read-only image and the new root that two scripts make, and the old root: a snapshot of the
// image that a third script changes. Each script runs in its root.
func pool(t *testing.T, image, old, to string) *bed {
	t.Helper()
	dev := pooltest.Loop(t, 512<<20)
	pooltest.Tool(t, "mkfs.btrfs", "--quiet", "--force", dev)
	b := &bed{top: t.TempDir()}
	if err := unix.Mount(dev, b.top, "btrfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(b.top, 0) })
	for _, name := range []string{"build", "new"} {
		pooltest.Tool(t, "btrfs", "subvolume", "create", b.path(name))
	}
	b.run(t, "build", image)
	pooltest.Tool(t, "btrfs", "subvolume", "snapshot", "-r", b.path("build"), b.path("image"))
	pooltest.Tool(t, "btrfs", "subvolume", "snapshot", b.path("image"), b.path("old"))
	b.run(t, "old", old)
	b.run(t, "new", to)
	for name, root := range map[string]**os.Root{"image": &b.Image, "old": &b.Old, "new": &b.New} {
		var err error
		if *root, err = os.OpenRoot(b.path(name)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*root).Close() })
	}
	return b
}

func (b *bed) path(name string) string { return filepath.Join(b.top, name) }

func (b *bed) run(t *testing.T, root, script string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", script)
	cmd.Dir = b.path(root)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func (b *bed) carry(t *testing.T, at string, o Options) Result {
	t.Helper()
	r, err := Carry(t.Context(), b.Roots, at, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// dump is all of a tree: kinds, modes, owners, times, links, contents, extended attributes, and if there are holes.
func (b *bed) dump(t *testing.T, root, at string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(b.path(root+"/"+at), func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := os.Lstat(name)
		if err != nil {
			return err
		}
		sys := st.Sys().(*syscall.Stat_t)
		more, err := attributes(name)
		if err != nil {
			return err
		}
		text, links := "", ""
		switch {
		case st.Mode().IsRegular():
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			if text = string(b); len(text) > 100 {
				text = fmt.Sprintf("%d bytes, holes %v", len(b), sys.Blocks*512 < sys.Size)
			}
			links = fmt.Sprintf(" %d names", sys.Nlink)
		case st.Mode()&fs.ModeSymlink != 0:
			text, _ = os.Readlink(name)
		}
		rel := strings.TrimPrefix(name, b.path(root)+"/")
		out = append(out, fmt.Sprintf("%q %v %d:%d %v%s %q %v", rel, st.Mode(), sys.Uid, sys.Gid,
			st.ModTime().UnixNano(), links, text, more))
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return out
}

func (b *bed) equal(t *testing.T, at string) {
	t.Helper()
	want, got := b.dump(t, "old", at), b.dump(t, "new", at)
	if !slices.Equal(want, got) {
		t.Errorf("the new root has\n%s\nthe old one\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// all makes a folder with everything that a file can have.
const all = `
mkdir -p srv/data/sub/empty 'srv/data/a
newline' && cd srv/data
echo text >plain; touch -d '2001-02-03 04:05:06.789' plain; chmod 4750 plain; chown 12:34 plain; chmod u+s plain
echo in >'a
newline/of it'
truncate -s 3M sparse; printf x | dd of=sparse bs=1 seek=2M conv=notrunc status=none
head -c 400000 /dev/urandom >random
touch vm; touch empty; touch sub/nocow; chattr +C sub/nocow; head -c 200000 /dev/zero >>sub/nocow
ln plain sub/second; ln plain sub/third
ln -s /etc/shadow absolute; ln -s ../../.. up; ln -s nowhere dangling; chown -h 5:6 dangling
setfattr -n user.note -v 'a note' random
echo x >acl; setfacl -m u:110:rw,g:120:r,u:1000:x acl
mkdir defaults; setfacl -d -m u:110:rwx defaults; echo y >defaults/in
cp /bin/true cap; setcap cap_net_raw+ep cap
mknod whiteout c 0 0
chmod 1777 sub; chown 7:8 sub; touch -d '2002-03-04' sub
name=$(printf 'n%.0s' $(seq 255)); echo long >"$name"
`

func TestEverything(t *testing.T) {
	t.Parallel()
	b := pool(t, "mkdir etc", all, "mkdir -p srv/data/sub; echo other >srv/data/plain; mkdir srv/data/random; "+
		"echo z >srv/data/random/z; ln -s /etc srv/data/defaults; setfacl -d -m u:99:rwx srv/data/sub")
	r := b.carry(t, "/srv/data", Options{})
	b.equal(t, "srv/data")
	if r.Carried != 22 || r.Deleted != 0 || r.Left != nil {
		t.Errorf("result %+v", r)
	}
	if again := b.carry(t, "/srv/data", Options{}); again.Carried != r.Carried {
		t.Errorf("again: %+v", again)
	}
	b.equal(t, "srv/data")
	shared := pooltest.Tool(t, "filefrag", "-v", b.path("new/srv/data/random"))
	if !strings.Contains(shared, "shared") {
		t.Errorf("the blocks are not shared:\n%s", shared)
	}
}

// On a filesystem without clones files are copied, with their holes.
func TestCopies(t *testing.T) {
	t.Parallel()
	b := pool(t, "true", all, "true")
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, 0) })
	to, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	for _, name := range []string{"sparse", "plain", "random", "sub"} {
		if _, err := Carry(t.Context(), Roots{Old: b.Old, New: to}, "/srv/data/"+name, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"sparse", "plain", "random", "sub/nocow"} {
		pooltest.Tool(t, "cmp", b.path("old/srv/data/"+name), dir+"/srv/data/"+name)
	}
	st, err := os.Stat(dir + "/srv/data/sparse")
	if err != nil || st.Sys().(*syscall.Stat_t).Blocks > 100 {
		t.Errorf("the holes are filled: %+v, %v", st.Sys(), err)
	}
}

// What is as the image had it stays as the new root has it.
func TestChanges(t *testing.T) {
	t.Parallel()
	b := pool(t, `mkdir -p d/same d/mode d/gone d/dropped d/deep/er; cd d
		for f in same/f content mode/f owner attr gone/f gone/g dropped/f deep/er/f touched link kind untouched; do
			echo image >$f; done; ln -s a to; mkdir turns; echo x >turns/x`,
		`cd d; echo old >content; chmod 600 mode/f; chmod 700 mode; chown 1:2 owner; setfattr -n user.x -v y attr
		rm gone/f; echo old >deep/er/f; echo added >added; touch touched; echo image >same/f; ln -sf b to
		rm -r turns; echo file >turns; rm kind; mkdir kind; mkdir empty`,
		`mkdir -p d/same d/mode d/gone d/turns; cd d
		for f in same/f content mode/f owner attr gone/f gone/g touched to turns/x; do echo new >$f; done; echo new >kind`)
	r := b.carry(t, "/d", Options{Delete: true})
	want := map[string]string{"same/f": "new", "content": "old", "mode/f": "image", "owner": "image", "attr": "image",
		"gone/g": "new", "deep/er/f": "old", "added": "added", "touched": "new", "turns": "file"}
	for name, text := range want {
		if got, err := os.ReadFile(b.path("new/d/" + name)); err != nil || string(got) != text+"\n" {
			t.Errorf("%s = %q, %v, want %s", name, got, err, text)
		}
	}
	for _, name := range []string{"gone/f", "dropped", "link", "untouched"} {
		if _, err := os.Lstat(b.path("new/d/" + name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, mode := range map[string]fs.FileMode{"mode": fs.ModeDir | 0o700, "mode/f": 0o600,
		"kind": fs.ModeDir | 0o755, "empty": fs.ModeDir | 0o755, "to": fs.ModeSymlink | 0o777} {
		if st, err := os.Lstat(b.path("new/d/" + name)); err != nil || st.Mode() != mode {
			t.Errorf("%s is %v, %v, want %v", name, st, err, mode)
		}
	}
	if r.Carried != 13 || r.Deleted != 1 {
		t.Errorf("result %+v", r)
	}
	b.run(t, "new", "echo new >d/gone/f")
	if r := b.carry(t, "/d", Options{}); r.Deleted != 0 {
		t.Errorf("deleted %d", r.Deleted)
	}
	if _, err := os.Lstat(b.path("new/d/gone/f")); err != nil {
		t.Error(err)
	}
}

// Owners follow the names: in files, in ACLs, and in folders that are made above the path.
func TestNumbers(t *testing.T) {
	t.Parallel()
	b := pool(t, "true", `mkdir -p var/lib/db/d; chown -R 110:120 var/lib/db; echo x >var/lib/db/d/f
		setfacl -m u:110:r,g:120:w,u:5:x var/lib/db/d/f`, "true")
	b.carry(t, "/var/lib/db/d", Options{UID: map[int]int{110: 210}, GID: map[int]int{120: 220}})
	acl := pooltest.Tool(t, "getfacl", "-n", "-p", "-c", b.path("new/var/lib/db/d/f"))
	if want := "user::rw-\nuser:5:--x\nuser:210:r--\ngroup::r--\ngroup:220:-w-\nmask::rwx\nother::r--"; acl != want {
		t.Errorf("ACL\n%s\nwant\n%s", acl, want)
	}
	for name, want := range map[string]string{"var/lib/db": "210:220", "var/lib/db/d": "210:220", "var/lib": "0:0",
		"var/lib/db/d/f": "0:0"} {
		if got := pooltest.Tool(t, "stat", "-c", "%u:%g", b.path("new/"+name)); got != want {
			t.Errorf("%s belongs to %s, want %s", name, got, want)
		}
	}
}

// Symlinks above the path are followed as the started system does, and lead nowhere else.
func TestSymlinksAbove(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	b := pool(t, "true", "mkdir -p real; echo x >real/f; ln -s /real opt; mkdir -p out; echo y >out/f",
		"mkdir -p elsewhere; ln -s /elsewhere opt; ln -s ../../../.."+outside+" out; echo z >blocked")
	b.carry(t, "/opt/f", Options{})
	if got, err := os.ReadFile(b.path("new/elsewhere/f")); err != nil || string(got) != "x\n" {
		t.Errorf("f = %q, %v", got, err)
	}
	if r := b.carry(t, "/opt", Options{}); r.Carried != 1 {
		t.Errorf("the symlink itself: %+v", r)
	}
	b.carry(t, "/out/f", Options{})
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("outside there is %v, %v", left, err)
	}
	b.run(t, "old", "mkdir -p blocked/by; echo x >blocked/by/f")
	_, err := Carry(t.Context(), b.Roots, "/blocked/by/f", Options{})
	if err == nil ||
		!strings.Contains(err.Error(), "carrying /blocked/by/f: /blocked is not a folder in the new image") {
		t.Errorf("blocked: %v", err)
	}
	for _, at := range []string{"/", "", "/..", "/.", "/nothing/at/all"} {
		r, err := Carry(t.Context(), b.Roots, at, Options{})
		if (err == nil) != (at == "/nothing/at/all") || r.Carried != 0 {
			t.Errorf("%q: %+v, %v", at, r, err)
		}
	}
}

// What cannot come is reported, and bounded.
func TestLeft(t *testing.T) {
	t.Parallel()
	b := pool(t, "mkdir d; mkfifo d/old", `cd d; mkfifo $'pi\npe'; mknod disk b 7 0; mknod tty c 4 1
		perl -MSocket -e 'socket(S,AF_UNIX,SOCK_STREAM,0);bind(S,pack_sockaddr_un("socket"))||die'`, "mkdir d")
	pooltest.Tool(t, "mkdir", b.path("old/d/mount"))
	if err := unix.Mount("tmpfs", b.path("old/d/mount"), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(b.path("old/d/mount"), 0) })
	pooltest.Tool(t, "touch", b.path("old/d/mount/file"))
	r := b.carry(t, "/d", Options{})
	want := []string{"/d/disk: it is a device", "/d/mount: another filesystem is mounted there",
		`"/d/pi\npe": it is a named pipe`, "/d/socket: it is a socket, which its program makes",
		"/d/tty: it is a device"}
	if !slices.Equal(r.Left, want) || r.Carried != 0 {
		t.Errorf("carried %d, left %q, want %q", r.Carried, r.Left, want)
	}
	b.run(t, "old", "cd d; for i in $(seq 100); do mkfifo pipe$i; done")
	if r := b.carry(t, "/d", Options{}); len(r.Left) != maxLeft+1 || r.Left[maxLeft] != "and 55 more below /d" {
		t.Errorf("left %d: %q", len(r.Left), r.Left)
	}
}

// A subvolume in the old root becomes a folder of the new one.
func TestSubvolume(t *testing.T) {
	t.Parallel()
	b := pool(t, "true", "mkdir -p var; btrfs subvolume create var/inner; mkdir var/inner/d; echo x >var/inner/d/f",
		"true")
	if r := b.carry(t, "/var", Options{}); r.Carried != 4 || r.Left != nil {
		t.Errorf("result %+v", r)
	}
	if got, err := os.ReadFile(b.path("new/var/inner/d/f")); err != nil || string(got) != "x\n" {
		t.Errorf("f = %q, %v", got, err)
	}
}

// Folders deeper than any path, and than the number of files that may be open.
func TestDeep(t *testing.T) {
	t.Parallel()
	b := pool(t, "true", "mkdir d", "true")
	at, err := unix.Open(b.path("old/d"), flags, 0)
	for range 3000 {
		if err == nil {
			err = unix.Mkdirat(at, "a folder", 0o755)
		}
		next := -1
		if err == nil {
			next, err = unix.Openat(at, "a folder", flags, 0)
		}
		unix.Close(at)
		at = next
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := unix.Openat(at, "end", unix.O_CREAT|unix.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(f)
	unix.Close(at)
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	few := was
	few.Cur = uint64(len(open) + 400)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	r, err := Carry(t.Context(), b.Roots, "/d", Options{Delete: true})
	if back := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); back != nil {
		t.Fatal(back)
	}
	if err != nil || r.Carried != 3002 {
		t.Errorf("result %+v, %v", r, err)
	}
	if again, err := Carry(t.Context(), b.Roots, "/d", Options{}); err != nil || again.Carried != 3002 {
		t.Errorf("again %+v, %v", again, err)
	}
}

func TestSkipAndStop(t *testing.T) {
	t.Parallel()
	b := pool(t, "true", "mkdir -p d/not d/yes; touch d/not/f d/yes/f", "true")
	r := b.carry(t, "/d", Options{Skip: func(p string) bool { return p == "d/not" }})
	if _, err := os.Lstat(b.path("new/d/not")); r.Carried != 3 || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("carried %d, %v", r.Carried, err)
	}
	if r := b.carry(t, "/d/not", Options{Skip: func(p string) bool { return p == "d/not" }}); r.Carried != 0 {
		t.Errorf("carried %d", r.Carried)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Carry(ctx, b.Roots, "/d", Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// Folders that become symlinks while the walk goes through them lead nowhere else.
func TestMoves(t *testing.T) {
	t.Parallel()
	b := pool(t, "true", "mkdir -p d/a/b/c secret/b/c; ln -s ../secret d/link; echo mine >d/a/b/c/f; "+
		"echo secret >secret/b/c/f; echo secret >secret/b/c/g", "true")
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for ctx.Err() == nil {
				_ = unix.Renameat2(unix.AT_FDCWD, b.path("old/d/a"), unix.AT_FDCWD, b.path("old/d/link"),
					unix.RENAME_EXCHANGE)
			}
		})
	}
	for range 300 {
		_, _ = Carry(t.Context(), b.Roots, "/d", Options{}) // it may fail
	}
	cancel()
	group.Wait()
	for _, name := range []string{"a/b/c/g", "link/b/c/g"} {
		if st, err := os.Lstat(b.path("new/d/" + name)); err == nil {
			t.Errorf("%s is there: %v", name, st)
		}
	}
	if _, err := os.Lstat(b.path("new/secret")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the secret: %v", err)
	}
}
