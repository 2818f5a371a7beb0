package content

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// plant makes a small tree and the manifest of it.
func plant(t *testing.T) (string, *Manifest) {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := time.Unix(1700000000, 123456789)
	for _, d := range []string{"d", "d/e"} {
		must(os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	must(os.WriteFile(filepath.Join(dir, "d/file"), []byte("hello"), 0o644))
	must(os.WriteFile(filepath.Join(dir, "d/other"), []byte("world"), 0o644))
	must(os.WriteFile(filepath.Join(dir, "a"), make([]byte, 1<<20), 0o644))
	must(os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b")))
	must(os.Symlink("d/file", filepath.Join(dir, "link")))
	must(unix.Mknod(filepath.Join(dir, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(unix.Setxattr(filepath.Join(dir, "d/e"), "trusted.x", []byte("1"), 0))
	for _, p := range []string{"d/file", "d/other", "a", "d/e", "d", "null", "."} {
		must(os.Chtimes(filepath.Join(dir, p), at, at))
	}
	m, err := Parse(strings.NewReader(walkText(t, dir)))
	must(err)
	return dir, m
}

func TestVerifyFindsDifferences(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(dir string) error
		want   []string
	}{
		{"nothing", func(string) error { return nil }, nil},
		{"access time", func(d string) error {
			return os.Chtimes(d+"/a", time.Unix(5, 0), time.Unix(1700000000, 123456789))
		}, nil},
		{"content", func(d string) error { return rewrite(d+"/d/file", "hellO") },
			[]string{"d/file has other content"}},
		{"size", func(d string) error { return rewrite(d+"/d/file", "hello!") },
			[]string{"d/file has 6 bytes, want 5"}},
		{"mode", func(d string) error { return os.Chmod(d+"/d/file", 0o600) },
			[]string{"d/file has mode 0600, want 0644"}},
		{"mode of the root", func(d string) error { return os.Chmod(d, 0o700) },
			[]string{". has mode 0700, want 0755"}},
		{"owner", func(d string) error { return os.Lchown(d+"/d/file", 7, 8) },
			[]string{"d/file belongs to 7:8, want 0:0"}},
		{"time", func(d string) error {
			return os.Chtimes(d+"/d", time.Time{}, time.Unix(1700000000, 123456788))
		}, []string{"d was modified at 1700000000.123456788, want 1700000000.123456789"}},
		{"attributes", func(d string) error {
			return errors.Join(unix.Setxattr(d+"/d/e", "trusted.x", []byte("2"), 0),
				unix.Setxattr(d+"/d/e", "trusted.y", nil, 0),
				unix.Setxattr(d+"/d/e", "security.selinux", []byte("system_u:object_r:etc_t:s0"), 0))
		}, []string{"d/e has an attribute trusted.y that should not be there",
			"d/e has another value in its attribute trusted.x"}},
		{"lost attribute", func(d string) error { return unix.Removexattr(d+"/d/e", "trusted.x") },
			[]string{"d/e lacks its attribute trusted.x"}},
		{"missing and extra", func(d string) error {
			return keepTimes(d, func() error { return os.Rename(d+"/null", d+"/new\nname") })
		}, []string{`new\x0aname is a character device that should not be there`, "null is missing"}},
		{"another type", func(d string) error {
			return keepTimes(d, func() error {
				return errors.Join(os.Remove(d+"/null"), os.Symlink("/dev/null", d+"/null"))
			})
		}, []string{"null is a symbolic link, want a character device"}},
		{"a link in the way of a directory", func(d string) error {
			return keepTimes(d, func() error { return errors.Join(os.Rename(d+"/d", d+"/x"), os.Symlink("x", d+"/d")) })
		}, []string{"d is a symbolic link, want a directory", "d/e is missing", "d/file is missing",
			"d/other is missing", "x is a directory that should not be there"}},
		{"link target", func(d string) error {
			return keepTimes(d, func() error {
				ts := lstat(d + "/link").Mtim
				return errors.Join(os.Remove(d+"/link"), os.Symlink("d/other", d+"/link"),
					unix.UtimesNanoAt(unix.AT_FDCWD, d+"/link", []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
			})
		}, []string{"link points to d/other, want d/file"}},
		{"broken hard link", func(d string) error {
			return keepTimes(d, func() error {
				return errors.Join(os.Remove(d+"/b"), os.WriteFile(d+"/b", make([]byte, 1<<20), 0o644))
			})
		}, []string{"a has one name only, want a to be the same file",
			"b has one name only, want a to be the same file"}},
		{"new hard link", func(d string) error {
			return keepTimes(d+"/d", func() error {
				return errors.Join(os.Remove(d+"/d/other"), os.Link(d+"/d/file", d+"/d/other"))
			})
		}, nil}, // one of the two, whichever is met first: checked below
		{"device", func(d string) error {
			return keepTimes(d, func() error {
				ts := lstat(d + "/null").Mtim
				return errors.Join(os.Remove(d+"/null"),
					unix.Mknod(d+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))),
					unix.UtimesNanoAt(unix.AT_FDCWD, d+"/null", []unix.Timespec{ts, ts}, 0))
			})
		}, []string{"null is device 1:5, want 1:3"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, m := plant(t)
			if err := tt.change(dir); err != nil {
				t.Fatal(err)
			}
			var read int64
			err := Verify(context.Background(), dir, m, func(n int64) { read = n })
			if tt.name == "new hard link" {
				if err == nil || !strings.Contains(err.Error(), "is the same file as d/") {
					t.Errorf("Verify = %v, want the same file", err)
				}
				return
			}
			if tt.want == nil {
				if err != nil || read != m.Size() {
					t.Errorf("Verify = %v and read %d bytes, want nil and %d", err, read, m.Size())
				}
				return
			}
			var got *MismatchError
			if !errors.As(err, &got) || !slices.Equal(got.Differences, tt.want) {
				t.Errorf("Verify = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestVerifyShowsTheFirst(t *testing.T) {
	dir, m := plant(t)
	err := keepTimes(dir, func() error {
		for i := range 30 {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("extra%02d", i)), nil, 0o644); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got *MismatchError
	if err := Verify(context.Background(), dir, m, nil); !errors.As(err, &got) {
		t.Fatalf("Verify = %v, want a MismatchError", err)
	}
	if got.Total != 30 || len(got.Differences) != 20 ||
		!strings.HasSuffix(got.Error(), "extra19 is a regular file that should not be there\n  and 10 more") {
		t.Errorf("Verify = %v", got)
	}
}

func TestVerifyStops(t *testing.T) {
	dir, m := plant(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Verify(ctx, dir, m, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Verify = %v, want context.Canceled", err)
	}
}

// rewrite changes a file in place and keeps its modification time.
func rewrite(path, data string) error {
	return keepTimes(path, func() error { return os.WriteFile(path, []byte(data), 0o644) })
}

func keepTimes(path string, do func() error) error {
	ts := lstat(path).Mtim
	return errors.Join(do(), unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, 0))
}

func lstat(path string) unix.Stat_t {
	var st unix.Stat_t
	unix.Lstat(path, &st)
	return st
}
