package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/imagestore/source/sourcetest"

	"golang.org/x/sys/unix"
)

// plantShifted makes the tree of sourcetest.Plant as a container with the ids from base on has it, but for owners
// beyond what a container has.
func plantShifted(t *testing.T, dir string, base int) {
	t.Helper()
	sourcetest.Plant(t, dir)
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err := errors.Join(err, unix.Lstat(path, &st)); err != nil {
			return err
		}
		if int(st.Uid) >= base {
			return nil // another name of one that was shifted
		}
		err = os.Lchown(path, int(st.Uid)+base, int(st.Gid)+base)
		if st.Mode&unix.S_IFMT != unix.S_IFLNK {
			err = errors.Join(err, unix.Chmod(path, st.Mode&0o7777))
		}
		return err
	}))
	id := func(n int) string { return fmt.Sprint(n + base) }
	sourcetest.Run(t, "setfacl", "-x", "u:1234,g:4321", "-m", "u:"+id(1234)+":rw,g:"+id(4321)+":r",
		filepath.Join(dir, "etc/passwd"))
	sourcetest.Run(t, "setfacl", "-x", "d:u:1234", "-m", "d:u:"+id(1234)+":rwx,d:g::r-x", filepath.Join(dir, "shared"))
	sourcetest.Run(t, "setcap", "-n", fmt.Sprint(base), "cap_net_raw+ep", filepath.Join(dir, "ping"))
}

// TestShiftedOwners takes copies of what an unprivileged container has: as a directory and as a subvolume, of lxc and
// of systemd-nspawn. The copy is like the tree that was never shifted.
func TestShiftedOwners(t *testing.T) {
	mnt := sourcetest.Btrfs(t)
	plain := filepath.Join(t.TempDir(), "plain")
	sourcetest.Plant(t, plain)
	want := walked(t, plain)
	container := func(name, rootfs string) {
		dir := filepath.Join(mnt, "lxc", name)
		must(t, os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "config"), []byte(
			"lxc.rootfs.path = "+rootfs+"\nlxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n"), 0o644))
	}
	must(t, os.MkdirAll(filepath.Join(mnt, "machines"), 0o700))
	elsewhere := t.TempDir() // not btrfs
	plantShifted(t, filepath.Join(elsewhere, "rootfs"), 100000)
	container("dir", "dir:"+elsewhere+"/rootfs")
	sub := filepath.Join(mnt, "sub")
	sourcetest.Run(t, "btrfs", "-q", "subvolume", "create", sub)
	plantShifted(t, sub, 100000)
	container("sub", "btrfs:"+sub)
	upper := filepath.Join(mnt, "upper") // an overlay of two file systems
	must(t, os.Mkdir(upper, 0o755), os.Chown(upper, 100000, 100000))
	sourcetest.Run(t, "cp", "-a", elsewhere+"/rootfs/ping", elsewhere+"/rootfs/fifo", upper)
	sourcetest.Run(t, "touch", "-r", elsewhere+"/rootfs", upper)
	container("over", "overlay:"+elsewhere+"/rootfs:"+upper)
	sourcetest.Run(t, "btrfs", "-q", "subvolume", "create", mnt+"/machines/sub")
	plantShifted(t, mnt+"/machines/sub", 10<<16)
	plantShifted(t, mnt+"/machines/dir", 9<<16)
	sourcetest.Plant(t, mnt+"/machines/own")
	for _, tt := range []struct {
		spec     string
		snapshot bool
	}{{"lxc:dir", false}, {"lxc:sub", true}, {"lxc:over", false}, {"nspawn:sub", true}, {"nspawn:dir", false},
		{"nspawn:own", false}} {
		c := taken(t, tt.spec, Options{LXCPath: filepath.Join(mnt, "lxc"), Machines: filepath.Join(mnt, "machines")})
		if c.Snapshot != tt.snapshot {
			t.Errorf("%s became %+v", tt.spec, c)
		}
		sameText(t, tt.spec, walked(t, c.Dir), want)
		if got := sourcetest.Run(t, "getcap", "-n", filepath.Join(c.Dir, "ping")); strings.Contains(got, "rootid") ||
			!strings.Contains(got, "cap_net_raw=ep") {
			t.Errorf("%s: %s", tt.spec, got)
		}
	}
	// What is not one of the container's has no place on a machine.
	must(t, os.Chown(filepath.Join(elsewhere, "rootfs/fifo"), 0, 100000))
	s, err := Find(context.Background(), "lxc:dir", Options{LXCPath: filepath.Join(mnt, "lxc"), Spool: t.TempDir()})
	must(t, err)
	if _, err := s.Take(context.Background(), "x", quiet); !errors.Is(err, ErrUnsuitable) ||
		!strings.Contains(err.Error(), "/fifo: cannot be published: the user 0 is not one of the container's") {
		t.Errorf("Take with a stranger = %v", err)
	}
}

func TestParseIDMap(t *testing.T) {
	m, err := parseIDMap([]string{"u 0 100000 1000", "u 1000 1000 1", "u 1001 101001 64535", "g 0 200000 65536"})
	must(t, err)
	for _, tt := range []struct {
		ranges []idRange
		host   uint32
		want   uint32
		ok     bool
	}{{m.users, 100000, 0, true}, {m.users, 1000, 1000, true}, {m.users, 101001, 1001, true},
		{m.users, 101000, 0, false},
		{m.users, 0, 0, false}, {m.groups, 265535, 65535, true}, {m.groups, 265536, 0, false}} {
		if got, err := back(tt.ranges, "user", tt.host); got != tt.want || (err == nil) != tt.ok {
			t.Errorf("back(%d) = %d, %v, want %d", tt.host, got, err, tt.want)
		}
	}
	for _, bad := range []string{"", "u 0 1", "x 0 1 1", "u 0 1 0", "u 0 4294967295 1",
		"u 4294967000 0 400", "u -1 0 1"} {
		if _, err := parseIDMap([]string{bad}); !errors.Is(err, ErrUnsuitable) {
			t.Errorf("parseIDMap(%q) = %v, want ErrUnsuitable", bad, err)
		}
	}
}

func TestShiftRefuses(t *testing.T) {
	m := &idMap{users: []idRange{{0, 100000, 65536}}, groups: []idRange{{0, 100000, 65536}}}
	for name, f := range map[string]func() ([]byte, error){
		"no ACL":           func() ([]byte, error) { return m.acl([]byte{2, 0, 0, 0, 1}) },
		"ACL of version 1": func() ([]byte, error) { return m.acl([]byte{1, 0, 0, 0}) },
		"stranger's ACL":   func() ([]byte, error) { return m.acl([]byte{2, 0, 0, 0, 2, 0, 7, 0, 5, 0, 0, 0}) },
		"no capability":    func() ([]byte, error) { return m.capability(nil) },
		"host's capability": func() ([]byte, error) {
			return m.capability(append([]byte{1, 0, 0, 2}, make([]byte, 16)...))
		},
		"cut capability": func() ([]byte, error) {
			return m.capability(append([]byte{1, 0, 0, 3}, make([]byte, 16)...))
		},
	} {
		if b, err := f(); !errors.Is(err, ErrUnsuitable) {
			t.Errorf("%s: %v, %v, want ErrUnsuitable", name, b, err)
		}
	}
}
