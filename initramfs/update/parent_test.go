package update_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unsafe"

	"griddle/appliance/job"
	"griddle/imagestore/blob"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/pool/intake"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/update"

	"golang.org/x/sys/unix"
)

// A pool whose image is damaged gets the next one in another way, whatever the damage does to the difference.
func TestDamagedParent(t *testing.T) {
	for name, harm := range map[string]func(image string){
		"another byte": func(image string) { damage(t, image, "usr/lib/big", false) },
		"a lost file":  func(image string) { damage(t, image, "etc/version", true) },
	} {
		t.Run(name, func(t *testing.T) {
			one, two := versions(t)
			m := installed(t, pooltest.Loop(t, 1<<30), one)
			before := m.kept(t)
			m.with(t, func(p *pool.Pool) { harm(filepath.Join(p.Dir(), "@images", oneRoot)) })
			var have []int
			m.o.Open = func(_ context.Context, h []string) (update.Image, error) {
				have = append(have, len(h))
				if len(h) > 0 {
					return two.From(1), nil
				}
				return two, nil
			}
			r, err := m.update(t.Context(), t, two)
			if err != nil || r.Root != twoRoot || !slices.Equal(have, []int{1, 0}) {
				t.Fatalf("Run = %+v, %v, and asked for the way with %v images", r, err, have)
			}
			const want = "the image " + oneRoot + ", from which web:20261120.2@amd64 was received as a difference, " +
				"may be damaged and is not used any more: "
			if !slices.ContainsFunc(m.seen, func(e job.Event) bool { return strings.HasPrefix(e.Message, want) }) {
				t.Errorf("no event says %q: %+v", want, m.seen)
			}
			if m.kept(t) != before {
				t.Error("the old root, @home or @persistent has changed")
			}
			for name, want := range map[string]string{"etc/hostname": "lab-7\n", "etc/version": "2\n",
				"usr/lib/big": strings.Repeat("x", 1<<20)} {
				if got := m.read(t, "@roots/"+twoRoot+"/"+name); got != want {
					t.Errorf("/%s is %.20q, want %.20q", name, got, want)
				}
			}
			m.saysDamaged(t)
		})
	}
}

// saysDamaged expects that the history names the first image, and that it is left in the pool and not used.
func (m *machine) saysDamaged(t *testing.T) {
	t.Helper()
	m.with(t, func(p *pool.Pool) {
		dir, err := pool.Persistent(p.Dir())
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		all, err := history.Read(dir)
		if err != nil || !slices.ContainsFunc(all, func(e history.Event) bool {
			return e.Kind == history.Damaged && e.Image == oneRoot && e.Reason != ""
		}) {
			t.Errorf("the history is %+v, %v", all, err)
		}
		c, err := p.Read()
		if err != nil {
			t.Fatal(err)
		}
		if bad, err := update.Damaged(dir, c); err != nil || !slices.Equal(bad, []string{oneRoot}) {
			t.Errorf("the damaged images are %v, %v", bad, err)
		}
	})
}

// What a damaged image did once is known to later updates: they do not ask for the difference from it again. The same
// image, received again, is as good as any.
func TestDamagedParentIsRemembered(t *testing.T) {
	one, two := versions(t)
	m := installed(t, pooltest.Loop(t, 1<<30), one)
	m.with(t, func(p *pool.Pool) { damage(t, filepath.Join(p.Dir(), "@images", oneRoot), "etc/version", true) })
	var have []int
	gone := errors.New("the server is gone")
	m.o.Open = func(_ context.Context, h []string) (update.Image, error) {
		if have = append(have, len(h)); len(h) > 0 {
			return two.From(1), nil
		}
		return nil, gone
	}
	if _, err := m.update(t.Context(), t, two); !errors.Is(err, gone) || !strings.Contains(err.Error(), "etc/version") {
		t.Fatalf("Run from a damaged image, without another way = %v", err)
	}
	m.saysDamaged(t)
	if _, err := m.update(t.Context(), t, two); !errors.Is(err, gone) || !slices.Equal(have, []int{1, 0, 0}) {
		t.Fatalf("the next Run = %v, and asked for the way with %v images", err, have)
	}
	m.with(t, func(p *pool.Pool) {
		if err := p.DeleteImage(oneRoot); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1100 * time.Millisecond) // events have whole seconds
		in, err := intake.Open(p.Dir(), one)
		if err == nil {
			_, err = in.Receive(t.Context(), intake.Options{})
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	have = nil
	if r, err := m.update(t.Context(), t, two); err != nil || r.Root != twoRoot || !slices.Equal(have, []int{1}) {
		t.Errorf("Run from the image received again = %+v, %v, and asked with %v images", r, err, have)
	}
}

// A source that has not what it should have says nothing about the image.
func TestSourceIsNotParent(t *testing.T) {
	one, two := versions(t)
	m := installed(t, pooltest.Loop(t, 1<<30), one)
	missing := two.From(1)
	missing.Between = func(int, io.Reader) io.Reader {
		return iotest.ErrReader(fmt.Errorf("%w: the difference", blob.ErrNotExist))
	}
	m.o.Open = func(context.Context, []string) (update.Image, error) { return missing, nil }
	if _, err := m.update(t.Context(), t, two); !errors.Is(err, blob.ErrNotExist) {
		t.Fatalf("Run = %v", err)
	}
	m.o.Open = func(_ context.Context, h []string) (update.Image, error) { return two.From(len(h)), nil }
	if r, err := m.update(t.Context(), t, two); err != nil || r.Root != twoRoot {
		t.Errorf("the next Run = %+v, %v", r, err)
	}
}

// damage changes a byte in an image, or removes a file. It stays one as received.
func damage(t *testing.T, image, name string, remove bool) {
	t.Helper()
	dir, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	const setFlags, readOnly = 0x4008941a, 1 << 1 // BTRFS_IOC_SUBVOL_SETFLAGS, BTRFS_SUBVOL_RDONLY
	set := func(flags uint64) {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), setFlags, uintptr(unsafe.Pointer(&flags)))
		if errno != 0 {
			t.Fatal(errno)
		}
	}
	set(0)
	defer set(readOnly)
	if remove {
		if err := os.Remove(filepath.Join(image, name)); err != nil {
			t.Fatal(err)
		}
		return
	}
	f, err := os.OpenFile(filepath.Join(image, name), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("y"), 4096)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}
