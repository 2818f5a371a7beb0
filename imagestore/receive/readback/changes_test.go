package readback

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"griddle/imagestore/content"
)

// text is what comparing says of the differences.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Whatever is done to a file after it was read: what is found at the end is what reading all of it finds.
func TestChanges(t *testing.T) {
	tops := map[string]string{}
	for _, kind := range []string{"btrfs", "ext4"} {
		tops[kind], _ = mount(t, kind)
	}
	file := func(name string, flags int, do func(f *os.File) error) error {
		f, err := os.OpenFile(name, flags, 0o644)
		if err != nil {
			return err
		}
		defer f.Close()
		return do(f)
	}
	in := func(name string, do func(f *os.File) error) error { return file(name, os.O_RDWR, do) }
	allocate := func(mode uint32) func(d string) error {
		return func(d string) error {
			return in(d+"/d/a", func(f *os.File) error { return unix.Fallocate(int(f.Fd()), mode, 8192, 8192) })
		}
	}
	for _, way := range []struct {
		name  string
		do    func(d string) error
		want  string // in the error
		clone bool   // needs a filesystem that shares blocks
	}{
		{"nothing", func(string) error { return nil }, "", false},
		{"a write", func(d string) error {
			return in(d+"/d/a", func(f *os.File) error { _, err := f.WriteAt([]byte("x"), 50_000); return err })
		}, "d/a has other content", false},
		{"a write of what was there", func(d string) error {
			return in(d+"/d/a", func(f *os.File) error { _, err := f.WriteAt(noise(1)[5000:6000], 5000); return err })
		}, "d/a was modified", false},
		{"a write to memory", func(d string) error {
			return in(d+"/d/a", func(f *os.File) error {
				m, err := unix.Mmap(int(f.Fd()), 0, 100_000, unix.PROT_WRITE|unix.PROT_READ, unix.MAP_SHARED)
				if err != nil {
					return err
				}
				m[70_000]++
				return unix.Munmap(m)
			})
		}, "d/a has other content", false},
		{"a truncation", func(d string) error {
			return in(d+"/d/a", func(f *os.File) error { return f.Truncate(99_999) })
		}, "d/a has 99999 bytes, want 100000", false},
		{"a truncation and growth", func(d string) error {
			return in(d+"/d/a", func(f *os.File) error {
				if err := f.Truncate(50_000); err != nil {
					return err
				}
				return f.Truncate(100_000)
			})
		}, "d/a has other content", false},
		{"a hole", allocate(unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE), "d/a has other content", false},
		{"zeros", allocate(unix.FALLOC_FL_ZERO_RANGE), "d/a has other content", false},
		{"allocation", allocate(unix.FALLOC_FL_KEEP_SIZE), "d/a was modified", false},
		{"a clone", func(d string) error {
			return in(d+"/d/a", func(a *os.File) error {
				return in(d+"/d/b", func(b *os.File) error {
					return unix.IoctlFileCloneRange(int(a.Fd()), &unix.FileCloneRange{Src_fd: int64(b.Fd()),
						Src_length: 8192, Dest_offset: 4096})
				})
			})
		}, "d/a has other content", true},
		{"a clone from it", func(d string) error {
			return file(d+"/new", os.O_RDWR|os.O_CREATE, func(n *os.File) error {
				return in(d+"/d/a", func(a *os.File) error {
					return unix.IoctlFileClone(int(n.Fd()), int(a.Fd()))
				})
			})
		}, "new is a regular file that should not be there", true},
		{"a copy in its place", func(d string) error { return os.Rename(d+"/d/b", d+"/d/a") },
			"d/a has other content", false},
		{"an exchange", func(d string) error {
			return unix.Renameat2(unix.AT_FDCWD, d+"/d/a", unix.AT_FDCWD, d+"/d/b", unix.RENAME_EXCHANGE)
		}, "d/b has other content", false},
		{"another name", func(d string) error { return os.Link(d+"/d/a", d+"/d/c") },
			"d/c is a regular file that should not be there", false},
		{"one file in the place of two", func(d string) error {
			if err := os.Remove(d + "/d/b"); err != nil {
				return err
			}
			return os.Link(d+"/d/a", d+"/d/b")
		}, "is the same file as", false},
		{"another file in its place", func(d string) error {
			if err := os.Remove(d + "/d/a"); err != nil {
				return err
			}
			return os.WriteFile(d+"/d/a", noise(3), 0o644)
		}, "d/a has other content", false},
		{"another directory in the place of its own", func(d string) error {
			for _, name := range []string{"a", "b"} {
				if err := os.Remove(d + "/d/" + name); err != nil {
					return err
				}
			}
			if err := os.Remove(d + "/d"); err != nil {
				return err
			}
			if err := os.Mkdir(d+"/d", 0o755); err != nil {
				return err
			}
			return os.WriteFile(d+"/d/a", noise(4), 0o644)
		}, "d/a has other content", false},
		{"its directory moved", func(d string) error {
			if err := os.Rename(d+"/d", d+"/e"); err != nil {
				return err
			}
			if err := os.Mkdir(d+"/d", 0o755); err != nil {
				return err
			}
			return os.Link(d+"/e/b", d+"/d/a")
		}, "d/a has other content", false},
		{"mode, owner and attribute", func(d string) error {
			return errorsOf(os.Chmod(d+"/d/a", 0o600), os.Chown(d+"/d/a", 7, 8),
				unix.Setxattr(d+"/d/a", "trusted.x", []byte("y"), 0))
		}, "d/a belongs to 7:8", false},
	} {
		for kind, top := range tops {
			if way.clone && kind != "btrfs" {
				continue
			}
			t.Run(way.name+" on "+kind, func(t *testing.T) {
				dir := filepath.Join(top, way.name)
				must(t, os.MkdirAll(dir+"/d", 0o755), os.WriteFile(dir+"/d/a", noise(1), 0o644),
					os.WriteFile(dir+"/d/b", noise(2), 0o644))
				m, err := content.Walk(t.Context(), dir)
				must(t, err)
				had := readings(t, dir, 2, "d/a", "d/b")
				must(t, way.do(dir))
				want := text(content.Verify(t.Context(), dir, m, nil))
				if got := text(content.VerifyRest(t.Context(), dir, m, had, nil)); got != want ||
					!strings.Contains(got, way.want) || (got == "") != (way.want == "") {
					t.Errorf("with what was read before: %q\nwithout: %q, want %q in both", got, want, way.want)
				}
			})
		}
	}
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// A file that changes while it is noted and read is never taken for what it was.
func TestChangesMeanwhile(t *testing.T) {
	top, _ := mount(t, "btrfs")
	name := filepath.Join(top, "a")
	must(t, os.WriteFile(name, noise(1), 0o644))
	m, err := content.Walk(t.Context(), top)
	must(t, err)
	root, err := os.Open(top)
	must(t, err)
	defer root.Close()
	noted := 0
	for i := range 50 {
		must(t, os.WriteFile(name, noise(1), 0o644))
		r, err := Start(int(root.Fd()), quick)
		must(t, err)
		r.Written("a")
		for range 2 { // to give it to the disk, and to note it
			do := <-r.Idle()
			do()
		}
		time.Sleep(time.Duration(i) * 20 * time.Microsecond)
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteAt([]byte("other"), int64(i)*1900)
		must(t, err, f.Close())
		had := r.Stop()
		noted += len(had)
		if err := content.VerifyRest(t.Context(), top, m, had, nil); err == nil ||
			!strings.Contains(err.Error(), "a has other content") {
			t.Fatalf("round %d: comparing says %v, want other content", i, err)
		}
	}
	t.Logf("%d of 50 were read to their end", noted)
}

// A file that changed just now is not read: the next change could give it the same time.
func TestFresh(t *testing.T) {
	top, _ := mount(t, "ext4")
	root, err := os.Open(top)
	must(t, err)
	defer root.Close()
	for range 20 {
		must(t, os.WriteFile(top+"/a", noise(1), 0o644))
		r, err := Start(int(root.Fd()), quick)
		must(t, err)
		r.Written("a")
		(<-r.Idle())() // gives it to the disk
		look := <-r.Idle()
		changed := time.Now()
		must(t, os.Chmod(top+"/a", 0o600))
		look()
		in := time.Since(changed) < quick.Rest
		if had := r.Stop(); in && len(had) > 0 {
			t.Fatal("it was read")
		} else if in {
			return
		}
	}
	t.Fatal("this machine is too slow to tell")
}
