package update_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/setting"
	"griddle/imagestore/fetch"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/intake"
	"griddle/initramfs/pool/intake/intaketest"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/update"
)

// renamed is an image under another reference, or of another size.
type renamed struct {
	*intaketest.Image
	ref  string
	more int64
}

func (r renamed) Ref() string { return r.ref }
func (r renamed) Streams() []fetch.StreamInfo {
	s := append([]fetch.StreamInfo(nil), r.Infos...)
	s[len(s)-1].Raw += r.more
	s[len(s)-1].Ref = r.ref
	return s
}

// What must not begin changes nothing, and says why and what to do.
func TestRefused(t *testing.T) {
	one, two := versions(t)
	m := installed(t, pooltest.Loop(t, 1<<30), one)
	kernelless := intaketest.Publish(t, func(dir string) {
		intaketest.Put(t, dir, map[string]string{"etc/hostname": "x\n",
			"usr/lib/systemd/systemd": "process 1", "sbin/init": "-> ../usr/lib/systemd/systemd"})
	})[0]
	sysv := intaketest.Publish(t, func(dir string) {
		intaketest.Put(t, dir, map[string]string{"boot/vmlinuz-1": "a", "sbin/init": "sysvinit"})
	})[0]
	orphan := intaketest.Publish(t, func(dir string) {
		intaketest.Put(t, dir, map[string]string{"boot/vmlinuz-1": "a"})
	}, func(dir string) {
		intaketest.Put(t, dir, map[string]string{"boot/vmlinuz-2": "b"})
	})[1].From(1)
	low := t.TempDir()
	intaketest.Put(t, low, map[string]string{"BAT0/type": "Battery\n", "BAT0/status": "Discharging\n",
		"BAT0/capacity": "19\n"})
	lost := errors.New("the server refused")
	state := func() (text string) {
		m.with(t, func(p *pool.Pool) { text = pooltest.Tree(t, p.Dir()) + pooltest.Tree(t, m.esp) })
		return text
	}
	if _, err := m.update(t.Context(), t, renamed{two, "web:20261119.9@amd64", 0}); !errors.Is(err, update.ErrOlder) {
		t.Errorf("Run of an older image = %v", err) // this one makes the lock's file
	}
	before := state()
	for _, c := range []struct {
		name string
		img  update.Image
		set  func(o *update.Options)
		is   error
		want string
	}{
		{"older", renamed{two, "web:20261119.9@amd64", 0}, nil, update.ErrOlder,
			"web:20261119.9@amd64 is older than version 20261120.1; to update to it all the same, add --allow-older"},
		{"no parent", orphan, nil, intake.ErrNoParent, "web:20261120.1@amd64; order the update again"},
		{"no kernel", renamed{kernelless, "web:20261121.1@amd64", 0}, nil, update.ErrImage,
			"has no kernel (boot/vmlinuz-*)"},
		{"no systemd", renamed{sysv, "web:20261121.1@amd64", 0}, nil, update.ErrImage, "web:20261121.1@amd64 does " +
			"not start with systemd: its /sbin/init is /sbin/init; without it no root can prove itself, and"},
		{"no systemd, reinstalled", renamed{sysv, "web:20261121.1@amd64", 0},
			func(o *update.Options) { o.Reinstall = true }, update.ErrImage, "or erase the disk with --erase"},
		{"no power", two, func(o *update.Options) { o.Power = low }, update.ErrPower,
			"19 percent, and at least 20 are needed"},
		{"no room", renamed{two, "web:20261121.1@amd64", 2 << 30}, nil, update.ErrRoom,
			"`griddle-agent recover delete-root`"},
		{"no settings", two, func(o *update.Options) {
			o.Settings = func(context.Context) (setting.Settings, error) { return setting.Settings{}, lost }
		}, lost, ""},
		{"wrong settings", two, func(o *update.Options) {
			o.Settings = func(context.Context) (setting.Settings, error) {
				return setting.Settings{Hostname: "../x"}, nil
			}
		}, update.ErrImage, `"../x" is not a hostname`},
		{"no image", two, func(o *update.Options) {
			o.Open = func(context.Context, []string) (update.Image, error) { return nil, lost }
		}, lost, ""},
	} {
		old := m.o
		if c.set != nil {
			c.set(&m.o)
		}
		r, err := m.update(t.Context(), t, c.img)
		m.o = old
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) || r != (update.Result{}) {
			t.Errorf("%s: Run = %+v, %v, want %q in it", c.name, r, err, c.want)
		}
	}
	if state() != before {
		t.Error("the pool has changed")
	}

	// Of another template no version is older, and --allow-older allows it.
	m.o.Prepare = true
	if _, err := m.update(t.Context(), t, renamed{two, "lab:1@amd64", 0}); err != nil {
		t.Errorf("Run of another template = %v", err)
	}
	m.o.Spec.AllowOlder = true
	if _, err := m.update(t.Context(), t, renamed{two, "web:20261119.9@amd64", 0}); err != nil {
		t.Errorf("Run with AllowOlder = %v", err)
	}
}

// One update at a time.
func TestBusy(t *testing.T) {
	one, two := versions(t)
	m := installed(t, pooltest.Loop(t, 1<<30), one)
	m.o.Open = func(context.Context, []string) (update.Image, error) {
		m.with(t, func(p *pool.Pool) {
			o := m.o
			o.Pool = p
			if _, err := update.Run(t.Context(), o); !errors.Is(err, update.ErrBusy) {
				t.Errorf("Run beside another one = %v", err)
			}
			if gone, err := update.Clean(p); !errors.Is(err, update.ErrBusy) || len(gone) > 0 {
				t.Errorf("Clean beside an update = %v, %v", gone, err)
			}
		})
		return two, nil
	}
	if _, err := m.update(t.Context(), t, two); err != nil {
		t.Error(err)
	}
}

// A stream that ends early, and a tree that is not as its manifest, leave the old root.
func TestDamaged(t *testing.T) {
	one, two := versions(t)
	m := installed(t, pooltest.Loop(t, 1<<30), one)
	before := m.kept(t)
	short, other := *two, *two
	short.Between = func(_ int, r io.Reader) io.Reader { return io.LimitReader(r, 200) }
	other.Manifest = one.Manifest
	// What failed once is received again, and not taken from the pool. The image that it started from stays.
	for _, c := range []struct {
		name   string
		img    update.Image
		want   string
		images int
	}{{"the stream ends early", &short, "stream", 1}, {"the tree is not as its manifest", &other, "etc/version", 1},
		{"again the stream ends early", &short, "stream", 1},
		{"again not as its manifest", &other, "etc/version", 1}} {
		if _, err := m.update(t.Context(), t, c.img); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Run = %v, want %q in it", c.name, err, c.want)
		}
		if now := m.contents(t); len(now.Roots) != 1 || now.Candidate != "" ||
			len(now.Images) != c.images {
			t.Errorf("%s: the pool is %+v", c.name, now)
		}
	}
	if m.kept(t) != before {
		t.Error("the old root, @home or @persistent has changed")
	}
}

// A pool whose roots were deleted is not updated.
func TestNoOldRoot(t *testing.T) {
	one, two := versions(t)
	m := installed(t, pooltest.Loop(t, 1<<30), one)
	m.with(t, func(p *pool.Pool) {
		if err := os.Rename(filepath.Join(p.Dir(), "@roots", oneRoot), filepath.Join(p.Dir(), "away")); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := m.update(t.Context(), t, two); err == nil || !strings.Contains(err.Error(), "no root that boots") {
		t.Errorf("Run = %v", err)
	}
}
