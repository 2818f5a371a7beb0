package pool

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"griddle/initramfs/bootloader/bootenv"
)

// An update, told by what grubenv says: switched, started, blessed.
func TestSwitch(t *testing.T) {
	p, _ := installed(t)
	is := func(want bootenv.Env) {
		t.Helper()
		c, err := p.Read()
		if got := (bootenv.Env{Good: c.Good, Candidate: c.Candidate, Tries: c.Tries}); err != nil || got != want {
			t.Fatalf("the pool says %+v, %v, want %+v", got, err, want)
		}
	}
	is(bootenv.Env{Good: "one@amd64"})
	if err := p.Switch("two@amd64"); err != nil {
		t.Fatal(err)
	}
	is(bootenv.Env{Good: "one@amd64", Candidate: "two@amd64", Tries: 1})
	if failed, err := p.Failed(); failed != "" || err != nil {
		t.Errorf("a candidate that was not started failed: %q, %v", failed, err)
	}
	// The good root is blessed once more before the restart: the switch stays.
	if err := p.Bless("one@amd64"); err != nil {
		t.Fatal(err)
	}
	is(bootenv.Env{Good: "one@amd64", Candidate: "two@amd64", Tries: 1})
	started(t, p)
	if err := p.Bless("two@amd64"); err != nil {
		t.Fatal(err)
	}
	is(bootenv.Env{Good: "two@amd64"})
	c, _ := p.Read()
	for name, want := range map[string]bool{"one@amd64": true, "two@amd64": true, "bare": false} {
		if r, err := c.Root(name); err != nil || r.Good != want {
			t.Errorf("%s proved itself: %v, %v, want %v", name, r.Good, err, want)
		}
	}
	// The good root needs no try.
	if err := p.Switch("one@amd64"); err != nil {
		t.Fatal(err)
	}
	if err := p.Switch("two@amd64"); err != nil {
		t.Fatal(err)
	}
	is(bootenv.Env{Good: "two@amd64"})
	for name, want := range map[string]error{"bare": ErrRefused, "three": ErrUnknown, "": ErrUnknown} {
		if err := p.Switch(name); !errors.Is(err, want) {
			t.Errorf("Switch(%s) = %v, want %v", name, err, want)
		}
		if err := p.Bless(name); !errors.Is(err, want) {
			t.Errorf("Bless(%s) = %v, want %v", name, err, want)
		}
	}
}

// started counts a try down, as GRUB does.
func started(t *testing.T, p *Pool) {
	t.Helper()
	e, err := bootenv.Read(p.esp)
	if err == nil && e.Tries > 0 {
		e.Tries--
		err = bootenv.Write(p.esp, e)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestFailed(t *testing.T) {
	p, _ := installed(t)
	if err := p.Switch("two@amd64"); err != nil {
		t.Fatal(err)
	}
	started(t, p)
	if failed, err := p.Failed(); failed != "two@amd64" || err != nil {
		t.Errorf("Failed = %q, %v", failed, err)
	}
	if err := p.Forget("one@amd64"); err != nil {
		t.Error(err)
	}
	if failed, err := p.Failed(); failed != "two@amd64" || err != nil {
		t.Errorf("after another root was forgotten Failed = %q, %v", failed, err)
	}
	if err := p.Forget("two@amd64"); err != nil {
		t.Error(err)
	}
	if failed, err := p.Failed(); failed != "" || err != nil {
		t.Errorf("after it was forgotten Failed = %q, %v", failed, err)
	}
	if e, err := bootenv.Read(p.esp); err != nil || e.Good != "one@amd64" {
		t.Errorf("grubenv is %+v, %v", e, err)
	}
}

// A marker is made in the root itself, whatever has its name there.
func TestHostileMarker(t *testing.T) {
	p, _ := installed(t)
	outside := filepath.Join(t.TempDir(), "file")
	if err := os.Symlink(outside, filepath.Join(p.dir, roots, "two@amd64", Marker)); err != nil {
		t.Fatal(err)
	}
	if c, _ := p.Read(); len(c.Roots) != 3 || c.Roots[0].Good || c.Roots[1].Good || c.Roots[2].Good {
		t.Errorf("a symlink is a marker: %+v", c.Roots)
	}
	if err := p.Bless("two@amd64"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(outside); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the marker was made elsewhere: %v", err)
	}
	c, _ := p.Read()
	if r, err := c.Root("two@amd64"); err != nil || !r.Good {
		t.Errorf("two = %+v, %v", r, err)
	}
}
