package pool

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/subvolume"
)

// Where the good root is gone, or has no kernel, a root on trial is blessed, and another root is made to boot: without
// a try, since GRUB has nothing to start after it.
func TestNoneStarts(t *testing.T) {
	const one, two = "one@amd64", "two@amd64"
	do := func(t *testing.T, errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	for lost, lose := range map[string]func(p *Pool) error{
		"the good root": func(p *Pool) error { return subvolume.Delete(filepath.Join(p.dir, roots), one) },
		"its kernel":    func(p *Pool) error { return os.RemoveAll(filepath.Join(p.dir, roots, one, "boot")) },
	} {
		for change, c := range map[string]struct {
			before, change func(t *testing.T, p *Pool) error
		}{
			"Bless": {func(t *testing.T, p *Pool) error { defer started(t, p); return p.Switch(two) },
				func(t *testing.T, p *Pool) error { return p.Bless(two) }},
			"Switch": {nil, func(t *testing.T, p *Pool) error { return p.Switch(two) }},
			"Boot":   {nil, func(t *testing.T, p *Pool) error { return p.Boot(two) }},
		} {
			t.Run(change+" without "+lost, func(t *testing.T) {
				p, dev := withInitrd(t)
				put(t, p.dir, map[string]string{"@roots/" + two + "/etc/systemd/system/" + blessing: "[Unit]\n"})
				if c.before != nil {
					do(t, c.before(t, p))
				}
				do(t, lose(p))
				all, err := p.Read()
				if err != nil || !errors.Is(all.NoBoots, ErrNoneStarts) || all.Unread() != nil {
					t.Fatalf("Read = %+v, %v", all, err)
				}
				if err := p.DeleteRoot(two); !errors.Is(err, ErrRefused) {
					t.Errorf("deleting the root that is left: %v", err)
				}
				do(t, c.change(t, p))
				if e, err := bootenv.Read(p.esp); err != nil || e != (bootenv.Env{Good: two}) {
					t.Errorf("grubenv = %+v, %v", e, err)
				}
				if got := agree(t, p, dev); got.Root != two || got.Try() {
					t.Errorf("GRUB starts %s with %q", got.Root, got.Args)
				}
			})
		}
	}
}
