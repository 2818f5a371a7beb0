package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/setting"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/bootloader/grubtest"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/nvram"
	"griddle/initramfs/pool"
)

const mirrorOfTwo = "version: 1\nlayout: mirror\nmatch: {serial: D1}\nwith: {serial: D2}\n"

// espFiles are the files on the EFI system partition of a disk, in a folder.
func espFiles(t *testing.T, dev string) string {
	t.Helper()
	dir := t.TempDir()
	disktest.Tool(t, "mcopy", "-s", "-n", "-i", dev+"p2", "::/*", dir)
	return dir
}

// An install onto a mirror: the machine starts from each of its disks, by both kinds of firmware, and a third disk
// stays as it is. Then another root comes into the pool, on both.
func TestMirror(t *testing.T) {
	images, o := publishAll(t), options(t)
	vars := t.TempDir()
	o.Firmware = func() (*nvram.Vars, error) { return nvram.In(vars), nil }
	first, second, third := disktest.Loop(t, 1500<<20, 512), disktest.Loop(t, 1700<<20, 512),
		disktest.Loop(t, 64<<20, 512)
	write(t, third, 12345, "photographs")
	beside := sum(t, third)
	k, j := &keeper{}, &journal{}
	s, disks := divideJob(t, &o, k, mirrorOfTwo, first, second, third)
	o.BIOS = true
	if err := Run(t.Context(), s, images[0], disks, j, o); err != nil {
		t.Fatalf("Run = %v, last event %+v", err, j.last())
	}
	if sum(t, third) != beside {
		t.Error("the third disk has changed")
	}
	for i, dev := range []string{first, second} {
		if d := found(t, dev, fmt.Sprint("D", i+1)); d.Installed != s.ID || d.Unfinished != "" ||
			d.Partitions[2].Variant != fmt.Sprintf("device %d of 2", i+1) {
			t.Errorf("%s is %+v", dev, d)
		}
		record := make([]byte, 512)
		f, err := os.Open(dev)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.ReadAt(record, 0); err != nil || !strings.Contains(string(record), "GRUB ") ||
			record[446] != 0x80 {
			t.Errorf("the boot sector of %s has no GRUB, or is not active: %v", dev, err)
		}
		f.Close()
		esp := espFiles(t, dev)
		conf, err := bootloader.ReadConfig(esp)
		e, bad := bootenv.Read(esp)
		if err != nil || bad != nil || len(conf.Mirror) != 2 || e.Sequence != 1 || e.Good == "" {
			t.Errorf("the EFI system partition of %s says %+v, %+v, %v, %v", dev, conf, e, err, bad)
		}
		if efi, err := bootloader.IsImage(filepath.Join(esp, bootloader.Fallback)); err != nil || !efi {
			t.Errorf("the EFI system partition of %s has no GRUB: %v", dev, err)
		}
	}
	for name, on := range map[string][]string{"both": {first, second}, "the second before": {second, first},
		"the first": {first}, "the second": {second}} {
		if got := grubtest.Start(t, on...); got.Root == "" || got.Degraded() != (len(on) == 1) {
			t.Errorf("from %s GRUB starts %q with %q:\n%s", name, got.Root, got.Args, got.Screen)
		}
	}
	keepMirror(t, o, images[1], first, second)
}

// keepMirror installs another image into the pool of a mirror.
func keepMirror(t *testing.T, o Options, img Image, first, second string) {
	t.Helper()
	esps := []string{espFiles(t, first), espFiles(t, second)}
	o.Place = func(path string) (pool.Place, error) {
		p, err := pool.On(path)
		if err != nil || len(p.Others) != 1 || p.Missing != 0 || p.Others[0].Disk != second {
			return p, fmt.Errorf("the place of the pool is %+v: %w", p, err)
		}
		p.ESP, p.Others[0].ESP = esps[0], esps[1]
		return p, nil
	}
	const keep = "version: 1\nlayout: keep-pool\nmatch: {serial: D1}\n"
	s, disks := divideJob(t, &o, &keeper{}, keep, first, second)
	s.ID = "0" + jobID[1:]
	j := &journal{}
	if err := Run(t.Context(), s, img, disks, j, o); err != nil {
		t.Fatalf("Run = %v, last event %+v", err, j.last())
	}
	for i, dev := range []string{first, second} {
		if d := found(t, dev, fmt.Sprint("D", i+1)); d.Installed != s.ID {
			t.Errorf("%s has the mark of %s, not %s", dev, d.Installed, s.ID)
		}
		e, err := bootenv.Read(esps[i])
		if err != nil || e.Candidate == "" && !strings.Contains(e.Good, "20261120.2") || e.Sequence < 2 {
			t.Errorf("the EFI system partition of %s says %+v, %v", dev, e, err)
		}
		if out, err := exec.Command("blkid", "-p", "-o", "value", "-s", "LABEL", dev+"p2").Output(); err != nil ||
			strings.TrimSpace(string(out)) != job.ESPLabel(s.ID) {
			t.Errorf("the EFI system partition of %s has the label %q, %v", dev, out, err)
		}
	}
}

// On UEFI each disk has an entry, that of the first one before the other.
func TestMirrorUEFI(t *testing.T) {
	img, o := small(t, nil), options(t)
	vars := t.TempDir()
	o.Firmware = func() (*nvram.Vars, error) { return nvram.In(vars), nil }
	first, second := disktest.Loop(t, 1200<<20, 512), disktest.Loop(t, 1200<<20, 512)
	before := []string{sum(t, first), sum(t, second)}
	k := &keeper{}
	s, disks := divideJob(t, &o, k, mirrorOfTwo, first, second)

	// A swap file, and an initrd that finds no second disk, are refused before anything is written.
	withSwap := o
	withSwap.Settings = func(context.Context) (setting.Settings, error) { return setting.Settings{Swap: 1 << 26}, nil }
	blind := small(t, map[string]string{"usr/share/initramfs-tools/init": "x"})
	for want, err := range map[string]error{"swap file": Run(t.Context(), s, img, disks, &journal{}, withSwap),
		"btrfs-progs": Run(t.Context(), s, blind, disks, &journal{}, o)} {
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want) || sum(t, first) != before[0] ||
			sum(t, second) != before[1] {
			t.Errorf("Run = %v, want an error with %q", err, want)
		}
	}

	// The server is lost at the last record, and then the machine starts again.
	k.fail = 35 // of 17 steps
	if err := Run(t.Context(), s, img, disks, &journal{}, o); !errors.Is(err, errServer) {
		t.Fatalf("Run without record %d = %v", k.fail, err)
	}
	_, disks = divideJob(t, &o, k, mirrorOfTwo, first, second)
	j := &journal{}
	if err := Run(t.Context(), s, img, disks, j, o); err != nil {
		t.Fatalf("Run = %v, last event %+v", err, j.last())
	}
	state, err := nvram.In(vars).State()
	if err != nil || len(state.Entries) != 2 || len(state.Order) != 2 {
		t.Fatalf("the firmware has %+v, %v, want two entries", state, err)
	}
	var titles []string
	for _, n := range state.Order {
		for _, e := range state.Entries {
			if option, err := nvram.ParseOption(e.Data); e.Number == n && err == nil {
				titles = append(titles, option.Description)
			}
		}
	}
	if !slices.Equal(titles, []string{"Griddle", "Griddle on another disk"}) {
		t.Errorf("the firmware starts %q", titles)
	}
}
