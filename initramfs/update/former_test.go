package update_test

import (
	"path/filepath"
	"slices"
	"testing"

	"griddle/initramfs/pool"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/update"
)

// The system that an earlier version installed stays when the next one is blessed, and a person can go back to it.
func TestFormerSystemStays(t *testing.T) {
	made := pooltest.Installed(t)
	pooltest.Old(t, made)
	p, err := pool.Open(pool.Place{Job: pooltest.Job, Pool: made.Device, ESP: made.ESP})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, do := range []func(string) error{p.Switch, p.Bless} {
		if err := do("two@amd64"); err != nil {
			t.Fatal(err)
		}
	}
	gone, err := update.Clean(p)
	if err != nil || !slices.Contains(gone, "the root bare") {
		t.Errorf("Clean = %q, %v", gone, err)
	}
	if err := p.Boot("one@amd64"); err != nil {
		t.Errorf("going back: %v", err)
	}
}

// An update to the image of the system that an earlier version installed does not take that system's name.
func TestFormerSystemKeepsItsName(t *testing.T) {
	one, two := versions(t)
	m := installed(t, pooltest.Loop(t, 1<<30), one)
	if _, err := m.update(t.Context(), t, two); err != nil {
		t.Fatal(err)
	}
	m.with(t, func(p *pool.Pool) {
		pooltest.Put(t, filepath.Join(p.Dir(), "@roots", oneRoot), map[string]string{"srv/notes": "hers\n"})
		if err := p.Bless(twoRoot); err != nil {
			t.Fatal(err)
		}
	})
	m.o.Spec.AllowOlder = true
	if r, err := m.update(t.Context(), t, one); err != nil || r.Root != oneRoot+".2" {
		t.Errorf("Run = %+v, %v, want %s.2", r, err, oneRoot)
	}
	if got := m.read(t, "@roots/"+oneRoot+"/srv/notes"); got != "hers\n" {
		t.Errorf("the notes are %q", got)
	}
}
