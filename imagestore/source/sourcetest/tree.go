package sourcetest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Plant fills a directory, which it makes, with one of each: types of file but sockets, hard links, holes, names of odd
// bytes, owners, permissions, attributes, ACLs and default ACLs, capabilities, and times with nanoseconds before and
// after 1970.
func Plant(t testing.TB, dir string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(dir, name) }
	sparse := func(name string, size int64, pieces ...int64) error {
		f, err := os.Create(at(name))
		for _, p := range pieces {
			_, werr := f.WriteAt([]byte(strings.Repeat("griddle ", 512)), p)
			err = errors.Join(err, werr)
		}
		return errors.Join(err, f.Truncate(size), f.Close())
	}
	err := errors.Join(
		os.MkdirAll(at("etc/empty"), 0o755), os.MkdirAll(at("deep"+strings.Repeat("/d", 40)), 0o750),
		os.Mkdir(at("shared"), 0o2775),
		os.WriteFile(at("etc/passwd"), []byte("root:x:0:0::/root:/bin/sh\n"), 0o644),
		os.WriteFile(at("none"), nil, 0),
		os.WriteFile(at("large"), []byte(strings.Repeat("0123456789abcdef", 70_000)), 0o4755),
		os.WriteFile(at("a\nb\\c \xff"), []byte("odd"), 0o600),
		os.WriteFile(at(strings.Repeat("n", 255)), []byte("long"), 0o640),
		os.WriteFile(at("ping"), []byte("capable"), 0o755), os.WriteFile(at("shared/in"), []byte("in"), 0o664),
		sparse("hole", 5<<20), sparse("pieces", 9<<20, 1<<20, 6<<20), sparse("tail", 3<<20+4096, 3<<20),
		os.Link(at("large"), at("etc/hard")), os.Link(at("none"), at("none-too")),
		os.Symlink("../etc/passwd", at("etc/link")), os.Symlink(strings.Repeat("x/", 500)+"\xfe", at("long-link")),
		os.Link(at("etc/link"), at("link-too")), unix.Mknod(at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 300))),
		unix.Mknod(at("disk"), unix.S_IFBLK|0o660, int(unix.Mkdev(259, 70000))),
		unix.Mkfifo(at("fifo"), 0o622),
	)
	if err != nil {
		t.Fatal(err)
	}
	for name, id := range map[string][2]int{"etc/passwd": {0, 42}, "large": {1000, 1000}, "etc/link": {7, 8},
		"null": {0, 5}, "shared": {33, 33}, "etc/empty": {65534, 65534}, "none": {60000, 3}} {
		err = errors.Join(err, os.Lchown(at(name), id[0], id[1]))
	}
	err = errors.Join(err, os.Chmod(at("large"), 0o755|os.ModeSetuid), os.Chmod(at("shared"), 0o775|os.ModeSetgid),
		os.Chmod(at("etc/empty"), 0o777|os.ModeSticky),
		unix.Setxattr(at("etc/passwd"), "user.griddle", []byte("\x00\xffbytes=\n"), 0),
		unix.Setxattr(at("etc"), "user.empty", nil, 0),
		unix.Lsetxattr(at("etc/link"), "trusted.griddle", []byte("link"), 0))
	if err != nil {
		t.Fatal(err)
	}
	Run(t, "setfacl", "-m", "u:1234:rw,g:4321:r", at("etc/passwd"))
	Run(t, "setfacl", "-m", "d:u:1234:rwx,d:g::r-x", at("shared"))
	Run(t, "setcap", "cap_net_raw+ep", at("ping"))
	times := map[string]time.Time{"etc/passwd": time.Unix(1700000000, 123456789), "none-too": time.Unix(-5, 1),
		"etc/link": time.Unix(1e9, 999999999),
		"fifo":     time.Unix(4e9, 5), "etc/empty": time.Unix(0, 0), "etc": time.Unix(12345, 678),
		"shared": time.Unix(99, 0)}
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		rel, rerr := filepath.Rel(dir, path)
		when, ok := times[rel]
		if !ok {
			when = time.Unix(1600000000, 42)
		}
		ts := unix.NsecToTimespec(when.UnixNano())
		return errors.Join(err, rerr,
			unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	})
	if err != nil {
		t.Fatal(err)
	}
}
