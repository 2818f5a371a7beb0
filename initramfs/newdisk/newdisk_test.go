package newdisk

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/disk/table"
	"griddle/initramfs/divide"
	"griddle/initramfs/install"
	"griddle/initramfs/mounttest"
	"griddle/initramfs/nvram"
	"griddle/initramfs/pool"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	mounttest.Own()
	os.Exit(m.Run())
}

const (
	mib   = 1 << 20
	jobID = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab"
)

// bed is a machine with disks on loop devices, by their serials.
type bed struct {
	*testing.T
	disks map[string]string
}

func (b bed) find(ctx context.Context) (out []job.Disk, err error) {
	for serial, dev := range b.disks {
		disktest.Tool(b, "blockdev", "--flushbufs", dev)
		d, err := disk.Find(os.DirFS("/sys"), disk.Open, dev)
		if err != nil {
			return nil, err
		}
		j := install.Disks([]disk.Disk{d})[0]
		j.Path, j.Serial, j.Bus = dev, serial, "sata"
		if !d.Recognised() {
			f, err := os.Open(dev)
			if err != nil {
				return nil, err
			}
			j.Sampled = content.Sample(ctx, f, d.Size)
			f.Close()
		}
		out = append(out, j)
	}
	return out, nil
}

// mirror makes a mirror of the disks D1 and D2, with a file.
func (b bed) mirror() divide.Made {
	b.Helper()
	doc := layout.Form{Version: 1, Layout: layout.Mirror, Match: job.Match{Serial: "D1"},
		With: &job.Match{Serial: "D2"}}.Document()
	disks, err := b.find(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	p, err := plan.Make(plan.Input{Layout: doc, Disks: disks})
	if err != nil {
		b.Fatal(err)
	}
	made, err := divide.Run(b.Context(), divide.Options{Job: jobID, Plan: p, Journal: none{}, Find: b.find,
		Sys: "/sys"})
	if err != nil {
		b.Fatal(err)
	}
	for _, d := range []job.Disk{made.Disk, made.Others[0].Disk} {
		f, err := disk.Claim(d.Path)
		if err == nil {
			err = errors.Join(table.Mark(f, d.Size, d.SectorSize, jobID), f.Close())
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	return made
}

// A machine loses a disk of its mirror, writes on the other one, and takes a new disk in. Then each of the two has all.
func TestTake(t *testing.T) {
	lost := disktest.File(t, 900*mib)
	second := disktest.Attach(t, lost)
	b := bed{t, map[string]string{"D1": disktest.Loop(t, 900*mib, 512), "D2": second}}
	made := b.mirror()
	esps := map[string]string{}
	var said []string
	o := Options{Find: b.find, Say: func(text string) { said = append(said, text); t.Log(text) }}
	o.Pool = func() (pool.Place, error) {
		p, err := pool.On(b.disks["D1"])
		place := func(p *pool.Place) { // the kernel of the machine that tests may have no FAT
			if esps[p.Disk] == "" {
				esps[p.Disk] = t.TempDir()
			}
			p.ESP = esps[p.Disk]
		}
		place(&p)
		for i := range p.Others {
			place(&p.Others[i])
		}
		return p, err
	}
	vars := nvram.In(t.TempDir())
	o.Firmware = func() (*nvram.Vars, error) { return vars, nil }
	installed := 0
	o.Bootloader = func(p *pool.Pool) error {
		installed = len(p.Halves())
		return nil
	}
	write := func(name string) {
		t.Helper()
		place, err := o.Pool()
		if err != nil {
			t.Fatal(err)
		}
		if err := with(place, func(p *pool.Pool) error {
			return errors.Join(os.MkdirAll(filepath.Join(p.Dir(), "@roots"), 0o700),
				os.MkdirAll(filepath.Join(p.Dir(), "@persistent"), 0o700),
				os.WriteFile(filepath.Join(p.Dir(), name), []byte(strings.Repeat(name, 1<<20)), 0o600))
		}); err != nil {
			t.Fatal(err)
		}
	}
	write("both")
	place, err := o.Pool()
	if err != nil {
		t.Fatal(err)
	}
	if err := bootenv.Write(place.ESP, bootenv.Env{Good: "one@amd64"}); err != nil {
		t.Fatal(err)
	}
	if err := Take(t.Context(), o); !errors.Is(err, ErrWhole) {
		t.Errorf("Take of a disk into a mirror that is whole = %v", err)
	}
	others := foreign(t, vars, second) // and the firmware has entries for both disks, as after an install
	if err := Complete(t.Context(), o); err != nil {
		t.Fatal(err)
	}

	_ = exec.Command("partx", "-d", second).Run()
	disktest.Tool(t, "losetup", "-d", second)
	delete(b.disks, "D2")
	fill(t, o) // so that what is written now has one copy
	write("alone")
	b.disks["D3"] = disktest.Loop(t, 950*mib, 512)
	b.disks["D4"] = disktest.Loop(t, 64*mib, 512) // a bystander, and too small
	f, err := os.OpenFile(b.disks["D3"], os.O_RDWR, 0)
	if err == nil {
		_, err = f.WriteAt([]byte("photographs"), 500*mib)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	disks, err := b.find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range disks {
		if d.Serial == "D3" {
			o.Disk = disks[i]
			o.Disk.Sampled = "data at byte 524288000 (0x70)" // which samples may miss
		}
	}
	if err := Take(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--erase") {
		t.Errorf("Take of a disk with data = %v", err)
	}
	small := o
	for _, d := range disks {
		if d.Serial == "D4" {
			small.Disk = d
		}
	}
	if err := Take(t.Context(), small); err == nil || !strings.Contains(err.Error(), "nothing was written") {
		t.Errorf("Take of a small disk = %v", err)
	}
	o.Erase = true
	if err := Take(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	whole(t, o, b.disks["D3"], made.Pool.UUID)
	if installed != 2 {
		t.Errorf("GRUB was installed on %d disks", installed)
	}
	if !slices.ContainsFunc(said, func(text string) bool {
		return strings.Contains(text, `"Griddle on another disk" of the disk that was replaced is deleted`)
	}) {
		t.Errorf("the person was told %q", said)
	}
	has := firmware(t, vars, others, b.disks["D3"], b.disks["D1"])
	if err := Complete(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if again := firmware(t, vars, others, b.disks["D3"], b.disks["D1"]); !reflect.DeepEqual(again, has) {
		t.Errorf("after Complete the firmware has %+v, and had %+v", again, has)
	}
	for dev, esp := range esps {
		if e, err := bootenv.Read(esp); dev != second && (err != nil || e.Good != "one@amd64") {
			t.Errorf("the EFI system partition of %s says %+v, %v", dev, e, err)
		}
	}
}

// fill uses up the room that the disks of a mirror had together.
func fill(t *testing.T, o Options) {
	t.Helper()
	place, err := o.Pool()
	if err != nil {
		t.Fatal(err)
	}
	if err := with(place, func(p *pool.Pool) error {
		f, err := os.Create(filepath.Join(p.Dir(), "room"))
		if err != nil {
			return err
		}
		err = errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, 150*mib), unix.Syncfs(int(f.Fd())), f.Close())
		if m, bad := p.Mirror(); err == nil && (bad != nil || m.Missing() == nil || m.Single == 0) {
			t.Errorf("the mirror is %+v, %v, want one with data that has one copy", m, bad)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// whole checks that a mirror has two disks, nothing on one of them only, and that the new one alone has the files.
func whole(t *testing.T, o Options, taken, id string) {
	t.Helper()
	place, err := o.Pool()
	if err != nil || place.Missing != 0 || len(place.Others) != 1 || place.Others[0].Disk != taken {
		t.Fatalf("the place of the pool is %+v, %v", place, err)
	}
	if err := with(place, func(p *pool.Pool) error {
		m, err := p.Mirror()
		if err != nil || m.Missing() != nil || m.Single != 0 || len(m.Disks) != 2 {
			t.Errorf("the mirror is %+v, %v", m, err)
		}
		disktest.Tool(t, "btrfs", "scrub", "start", "-B", p.Dir())
		for _, name := range []string{"both", "alone"} {
			if b, err := os.ReadFile(filepath.Join(p.Dir(), name)); err != nil ||
				string(b) != strings.Repeat(name, 1<<20) {
				t.Errorf("the file %s has %d bytes, %v", name, len(b), err)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	d, err := disk.Find(os.DirFS("/sys"), disk.Open, taken)
	if err != nil || d.Finished() != jobID || d.Partitions[2].UUID != id {
		t.Errorf("the new disk is %+v, %v", d.Content, err)
	}
}

// foreign are entries that are not of the pool's disks, or that others made for the one at dev: Windows, another pool
// of Griddle whose disk is not in the machine, and a program on the EFI system partition of dev.
func foreign(t *testing.T, vars *nvram.Vars, dev string) []uint16 {
	t.Helper()
	d, err := disk.Find(os.DirFS("/sys"), disk.Open, dev)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := pool.Loader(dev, d.Size, d.SectorSize, 2)
	if err != nil {
		t.Fatal(err)
	}
	other := theirs
	theirs.Title, theirs.File, other.GUID = "Memory test", "EFI/memtest/memtest.efi", uuid.NewString()
	windows := other
	windows.Title, windows.File = "Windows Boot Manager", "EFI/Microsoft/Boot/bootmgfw.efi"
	other.Title, other.File, other.GUID = pool.Title, bootloader.Fallback, uuid.NewString()
	var out []uint16
	for _, l := range []nvram.Loader{theirs, other, windows} {
		n, err := vars.Add(l)
		if err != nil {
			t.Fatal(err)
		}
		out = append([]uint16{n}, out...)
	}
	return out
}

// firmware is what the firmware starts: GRUB from the EFI system partitions of these disks, in this order, and behind
// it the others. It has nothing else.
func firmware(t *testing.T, vars *nvram.Vars, others []uint16, disks ...string) nvram.State {
	t.Helper()
	state, err := vars.State()
	if n := len(disks) + len(others); err != nil || len(state.Entries) != n || len(state.Order) != n ||
		!slices.Equal(state.Order[len(disks):], others) {
		t.Fatalf("the firmware has %+v, %v", state, err)
	}
	titles := []string{"Griddle on another disk", "Griddle"} // the new one comes first
	for i, n := range state.Order[:len(disks)] {
		at := slices.IndexFunc(state.Entries, func(e nvram.Entry) bool { return e.Number == n })
		d, err := disk.Find(os.DirFS("/sys"), disk.Open, disks[i])
		if at < 0 || err != nil {
			t.Fatalf("the firmware has %+v, %v", state, err)
		}
		l, err := pool.Loader(disks[i], d.Size, d.SectorSize, 2)
		o, bad := nvram.ParseOption(state.Entries[at].Data)
		guid, bad2 := uuid.Parse(l.GUID)
		slices.Reverse(guid[:4])
		slices.Reverse(guid[4:6])
		slices.Reverse(guid[6:8])
		if err := errors.Join(err, bad, bad2); err != nil || o.Description != titles[i] ||
			!bytes.Contains(o.Path, guid[:]) {
			t.Errorf("entry %d of the firmware is %+v, %v, want the partition %+v", i, o, err, l)
		}
	}
	return state
}
