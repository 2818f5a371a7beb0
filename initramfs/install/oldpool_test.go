package install

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/pooltest"
)

// TestBootsOldPool: in a pool of an earlier version grub.cfg says which root boots, whatever grubenv says.
func TestBootsOldPool(t *testing.T) {
	made := pooltest.Installed(t)
	text, err := os.ReadFile("../bootloader/testdata/old.cfg")
	if err != nil {
		t.Fatal(err)
	}
	old := strings.NewReplacer("0a1b2c3d-0000-4000-8000-0123456789ab", made.ID,
		"web-20261120.1", "one@amd64").Replace(string(text))
	stale := bootenv.Env{Good: "two@amd64", Candidate: "two@amd64", Tries: 3}
	if err := errors.Join(os.WriteFile(filepath.Join(made.ESP, "griddle/grub.cfg"), []byte(old), 0o600),
		bootenv.Write(made.ESP, stale)); err != nil {
		t.Fatal(err)
	}
	dev := disktest.Loop(t, 8<<20, 512)
	p, err := pool.Open(pool.Place{Disk: dev, Job: pooltest.Job, SectorSize: 512, Pool: made.Device, ESP: made.ESP,
		BIOS: pool.Extent{Start: 1 << 20, Size: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := p.Read()
	if err != nil || c.Boots != "one@amd64" {
		t.Fatalf("before, %q boots, %v, %v", c.Boots, c.NoBoots, err)
	}
	w := &work{o: options(t), target: job.Disk{Path: dev, SectorSize: 512},
		place: pool.Place{BIOS: pool.Extent{Start: 1 << 20, Size: 1 << 20}}, report: &journal{}}
	w.spec.ID, w.spec.Args = jobID, []string{"quiet"}
	if err := w.bootsPool(p, "two@amd64"); err != nil {
		t.Fatal(err)
	}
	if e, err := bootenv.Read(made.ESP); err != nil || e != (bootenv.Env{Good: "one@amd64"}) {
		t.Errorf("grubenv is %+v, %v, want the root of grub.cfg", e, err)
	}
	conf, err := bootloader.ReadConfig(made.ESP)
	if err != nil || conf.Old || conf.Root != "@roots/one@amd64" || strings.Join(conf.Args, " ") != "quiet" {
		t.Errorf("grub.cfg has %+v, %v", conf, err)
	}
}
