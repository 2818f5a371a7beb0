package divide

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/mounttest"
	"griddle/initramfs/umltest/fattest"

	"golang.org/x/sys/unix"
)

const (
	mib   = 1 << 20
	jobID = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab"
)

// TestMain keeps the disks of tests in memory, where a copy of one is fast.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(runIt) != "":
		runs()
	case fattest.Inside():
		os.Exit(m.Run())
	case os.Getpid() == 1:
		processOne()
	}
	mounttest.Own()
	dir, err := os.MkdirTemp("", "divide-*")
	if err == nil {
		err = unix.Mount("tmpfs", dir, "tmpfs", 0, "")
	}
	if err = errors.Join(err, os.Setenv("TMPDIR", dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := errors.Join(unix.Unmount(dir, 0), os.Remove(dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// machine is a machine with disks on loop devices, each with its serial.
type machine struct {
	t     testing.TB
	disks map[string]string // path of the device by serial
}

// attach makes a loop device of a file, as the disk with a serial.
func (m *machine) attach(serial, file string, sector int) string {
	m.t.Helper()
	dev := disktest.Attach(m.t, file, "--sector-size", fmt.Sprint(sector))
	if m.disks == nil {
		m.disks = map[string]string{}
	}
	m.disks[serial] = dev
	m.t.Cleanup(func() {
		_ = exec.Command("partx", "-d", dev).Run()
		disktest.Tool(m.t, "losetup", "-d", dev)
	})
	return dev
}

// blank is a disk of zeros.
func (m *machine) blank(serial string, size int64, sector int) string {
	m.t.Helper()
	file := filepath.Join(m.t.TempDir(), serial)
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, size)); err != nil {
		m.t.Fatal(err)
	}
	return m.attach(serial, file, sector)
}

// find looks at the disks as the agent does.
func (m *machine) find(ctx context.Context) ([]job.Disk, error) { return look(ctx, m.disks) }

func look(ctx context.Context, disks map[string]string) (out []job.Disk, err error) {
	for serial, path := range disks {
		d, err := disk.Find(os.DirFS("/sys"), disk.Open, path)
		if err != nil {
			return nil, err
		}
		j := converted(d)
		j.Path, j.Serial, j.Bus = path, serial, "sata"
		for i, p := range d.Partitions {
			j.Partitions[i].Used, j.Partitions[i].Minimum = mib, least(p)
		}
		if !d.Recognised() {
			f, err := os.Open(path)
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

// converted is a disk in the form that the agent sends to the server.
func converted(d disk.Disk) job.Disk {
	j := job.Disk{Path: d.Path, Model: d.Model, Serial: d.Serial, WWN: d.WWN, Place: d.Place, Bus: d.Bus, Size: d.Size,
		SectorSize: d.SectorSize, Removable: d.Removable, ReadOnly: d.ReadOnly, Table: d.Table, TableID: d.GUID,
		Damaged: d.Damaged, Signature: d.Signature.Type, Label: d.Signature.Label, Unfinished: d.Unfinished(),
		Installed: d.Finished(), UsableFrom: d.UsableFrom, UsableTo: d.UsableTo, Slots: d.Slots}
	for _, p := range d.Partitions {
		part := job.Partition{Number: p.Number, Start: p.Start, Size: p.Size, Name: p.Name, Type: p.Type,
			Filesystem: p.Signature.Type, Label: p.Signature.Label, UUID: p.UUID, Used: p.Used, Minimum: p.Minimum,
			Unfit: p.Unfit, Unfinished: p.Mark.Job}
		if p.Mark.Finished {
			part.Installed, part.Unfinished = p.Mark.Job, ""
		}
		j.Partitions = append(j.Partitions, part)
	}
	return j
}

// least is a size that every filesystem of the tests can be shrunk to.
func least(p content.Partition) int64 { return min(p.Size/2, 100*mib) }

// plan makes the plan of a layout on the disks as they are.
func (m *machine) plan(doc layout.Document) plan.Plan {
	m.t.Helper()
	disks, err := m.find(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	p, err := plan.Make(plan.Input{Layout: doc, Disks: disks})
	if err != nil {
		m.t.Fatal(err)
	}
	return p
}

// book is a journal in memory, as JSON. At entry fail, counted from 1, it fails, and keeps the entry if keep is set.
type book struct {
	lines []json.RawMessage
	fail  int
	keep  bool
}

var errBook = errors.New("the server is away")

func (b *book) Record(_ context.Context, e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	failing := b.fail > 0 && len(b.lines)+1 >= b.fail
	if !failing || b.keep && len(b.lines)+1 == b.fail {
		b.lines = append(b.lines, line)
	}
	if failing {
		return errBook
	}
	return nil
}

// entries are what it has.
func (b *book) entries(t testing.TB) (out []Entry) {
	t.Helper()
	for _, line := range b.lines {
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// run carries out a plan.
func (m *machine) run(p plan.Plan, b *book) (Made, error) {
	return Run(m.t.Context(), m.options(p, b))
}

func (m *machine) options(p plan.Plan, b *book) Options {
	return Options{Job: jobID, Plan: p, Past: b.entries(m.t), Journal: b, Find: m.find, Sys: "/sys"}
}

// must carries out a plan that succeeds, and checks what the disks have then.
func (m *machine) must(p plan.Plan, b *book) Made {
	m.t.Helper()
	made, err := m.run(p, b)
	if err != nil {
		m.t.Fatal(err)
	}
	m.asPlanned(p, made)
	return made
}

// asPlanned asks other programs than ours what the disks have.
func (m *machine) asPlanned(p plan.Plan, made Made) {
	m.t.Helper()
	for _, planned := range p.Disks {
		dev := m.disks[planned.Serial]
		if out, err := exec.Command("sfdisk", "--verify", dev).CombinedOutput(); err != nil {
			m.t.Errorf("sfdisk --verify: %v: %s", err, out)
		}
		table := disktest.Tool(m.t, "sfdisk", "--dump", dev)
		if strings.Contains(table, "label: gpt") {
			if out := disktest.Tool(m.t, "sgdisk", "-v", dev); !strings.Contains(out, "No problems found") {
				m.t.Errorf("sgdisk -v: %s", out)
			}
		}
		for _, part := range planned.After {
			sector := int64(planned.SectorSize)
			line := fmt.Sprintf("start=%12d, size=%12d", part.Start/sector, part.Size/sector)
			if !strings.Contains(table, line) {
				m.t.Errorf("sfdisk knows no %s:\n%s", line, table)
			}
		}
	}
	for _, place := range made.Parts {
		if place.Fresh && place.Part.Filesystem == "" {
			if out := disktest.Tool(m.t, "wipefs", "--no-act", place.Node); out != "" {
				m.t.Errorf("wipefs finds in a partition that is cleared: %s", out)
			}
		}
		if !place.Fresh || place.Part.Filesystem == "" {
			continue
		}
		ask := func(key string) string {
			out, _ := exec.Command("blkid", "-p", "-s", key, "-o", "value", place.Node).Output()
			return strings.TrimSpace(string(out))
		}
		want := place.Part.Label
		if place.Part.Use == layout.ESP {
			want = job.ESPLabel(jobID)
		}
		if kind, label, uuid := ask("TYPE"), ask("LABEL"), ask("UUID"); kind != place.Part.Filesystem ||
			label != want ||
			uuid != place.UUID {
			m.t.Errorf("blkid says of %+v: %s %q %s", place, kind, label, uuid)
		}
		switch place.Part.Filesystem {
		case "ext4":
			disktest.Tool(m.t, "e2fsck", "-fn", place.Node)
		case "btrfs":
			disktest.Tool(m.t, "btrfs", "check", "--readonly", place.Node)
		case "xfs":
			disktest.Tool(m.t, "xfs_repair", "-n", place.Node)
		case "vfat":
			disktest.Tool(m.t, "fsck.vfat", "-n", place.Node)
		}
	}
	for _, s := range append(made.Others, made.System) {
		m.marked(s)
	}
}

// marked looks for the unfinished mark.
func (m *machine) marked(made System) {
	m.t.Helper()
	if made.Pool.Node == "" {
		return
	}
	want, err := content.Mark{Job: jobID}.Bytes()
	if err != nil {
		m.t.Fatal(err)
	}
	got := readBytes(m.t, made.Pool.Node, content.MarkAt, content.MarkSize)
	if made.Pool.Fresh && !bytes.Equal(got, want) {
		m.t.Error("the pool has not the unfinished mark")
	}
}

// readBytes reads from a disk, and not from what the kernel remembers.
func readBytes(t testing.TB, path string, at, n int64) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	b := make([]byte, n)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	return b
}

var seed = maphash.MakeSeed()

// sums are hashes of the partitions of a disk, by number: of all their bytes.
func sums(t testing.TB, dev string, parts ...plan.Part) map[int]uint64 {
	t.Helper()
	f, err := os.Open(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	out := map[int]uint64{}
	for _, p := range parts {
		var h maphash.Hash // of all bytes, and fast
		h.SetSeed(seed)
		if _, err := io.Copy(&h, io.NewSectionReader(f, p.Start, p.Size)); err != nil {
			t.Fatal(err)
		}
		out[p.Number] = h.Sum64()
	}
	return out
}

// staying are the partitions of a plan that stay.
func staying(p plan.Plan) (out []plan.Part) {
	for _, part := range p.Disks[0].Before {
		if part.Fate == plan.Stays {
			out = append(out, part)
		}
	}
	return out
}

// same fails if the partitions that stay have another byte.
func same(t testing.TB, before, after map[int]uint64) {
	t.Helper()
	if !maps.Equal(before, after) {
		t.Errorf("the partitions that stay were\n%v\nand are\n%v", before, after)
	}
}

// of is a layout of one disk, the largest.
func of(parts ...layout.Partition) layout.Document {
	return layout.Document{Version: 1, Disks: []layout.Disk{{ID: "main", Match: job.Match{Size: job.Largest},
		Partitions: parts}}}
}

func size(n int64) layout.Size { return layout.Size{Bytes: n} }

var (
	rest = layout.Size{Rest: true}
	esp  = layout.Partition{ID: "esp", Use: layout.ESP}
	pool = layout.Partition{ID: "pool", Use: layout.Pool, Size: rest}
)
