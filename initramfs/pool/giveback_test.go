package pool

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/bootloader/former"
	"griddle/initramfs/nvram"
	"griddle/initramfs/pool/pooltest"
)

// A machine gets back what it started by, after someone has agreed to what that changes, and the pool stays as it is.
func TestGiveBack(t *testing.T) {
	made := pooltest.Others(t, pooltest.Installed(t))
	place := Place{Job: pooltest.Job, Pool: made.Device, ESP: made.ESP, Disk: made.Disk,
		BIOS: Extent(made.BIOS)}
	p, err := Open(place)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	looks := func() string {
		t.Helper()
		record := make([]byte, 1<<20)
		f, err := os.Open(made.Disk)
		if err == nil {
			_, err = f.ReadAt(record, 0)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		return string(record) + pooltest.Tree(t, made.ESP) + pooltest.Tree(t, made.Vars)
	}
	pool, before := pooltest.Tree(t, made.Top), looks()
	place.Others = []Place{place}
	mirror, err := Open(place)
	if err != nil {
		t.Fatal(err)
	}
	defer mirror.Close()
	if _, err := mirror.GiveBack(Firmware{}, nil); !errors.Is(err, errMirror) || looks() != before {
		t.Errorf("of a mirror: %v", err)
	}
	firmware := Firmware{Vars: nvram.In(made.Vars)}
	no := errors.New("no")
	var will []string
	if _, err := p.GiveBack(firmware, func(c *former.Change) error { will = c.Will; return no }); !errors.Is(err, no) ||
		looks() != before {
		t.Errorf("without agreement: %v, and something has changed: %v", err, looks() != before)
	}
	for _, want := range []string{`the boot entry Boot0001 "Griddle" is deleted`, "the boot record",
		"griddle of the EFI system partition is deleted"} {
		if !strings.Contains(strings.Join(will, "\n"), want) {
			t.Errorf("it would change %q, and not %s", will, want)
		}
	}
	for i := range 2 {
		asked := false
		done, err := p.GiveBack(firmware, func(*former.Change) error { asked = true; return nil })
		if err != nil || asked != (i == 0) {
			t.Errorf("GiveBack = %q, %v; it asked: %v", done, err, asked)
		}
	}
	now := looks()
	if !strings.HasPrefix(now, "the program of the boot record") || strings.Trim(now[512:1<<20], "\x00") != "" ||
		strings.Contains(now, "grub.cfg") || !strings.Contains(now, "bootmgfw.efi") ||
		strings.Contains(now, "Boot0001") {
		t.Errorf("the machine starts by %q", strings.Trim(now, "\x00"))
	}
	if pooltest.Tree(t, made.Top) != pool {
		t.Error("the pool has changed")
	}
	if err := os.RemoveAll(filepath.Join(made.Top, "@persistent/griddle/former")); err != nil {
		t.Fatal(err)
	}
	if _, err := p.GiveBack(firmware, nil); !errors.Is(err, former.ErrNone) {
		t.Errorf("without what was kept: %v", err)
	}
}
