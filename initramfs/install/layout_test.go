package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout/layoutfile"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/nvram"
	"griddle/initramfs/pool"
)

// keeper is the server's side of a job with a layout: it keeps its records. The nth one fails, if n is not 0.
type keeper struct {
	all  []json.RawMessage
	fail int
}

var errServer = errors.New("the server does not answer")

func (k *keeper) Record(_ context.Context, r json.RawMessage) error {
	if len(k.all)+1 == k.fail {
		k.fail = 0
		return errServer
	}
	k.all = append(k.all, slices.Clone(r))
	return nil
}

func (k *keeper) Records(context.Context) ([]json.RawMessage, error) { return k.all, nil }

// windowsDisk is a disk of 2 GiB with an EFI system partition that has a loader, a reserved partition, an NTFS, and one
// for recovery; half of it is free. It has the serial D1.
func windowsDisk(t testing.TB, sector int) string {
	t.Helper()
	dev := disktest.Loop(t, 2<<30, sector)
	disktest.Tool(t, "sgdisk", "-n", "1:1M:+100M", "-t", "1:ef00", "-n", "2:0:+16M", "-t", "2:0c01", "-n", "3:0:+700M",
		"-t", "3:0700", "-n", "4:0:+32M", "-t", "4:2700", dev)
	disktest.Tool(t, "partx", "-u", dev)
	disktest.Tool(t, "mkfs.vfat", "-F", "32", "-s", "1", dev+"p1")
	disktest.Tool(t, "mkntfs", "-q", "-Q", "-F", "-L", "Windows", dev+"p3")
	disktest.Tool(t, "mkntfs", "-q", "-Q", "-F", dev+"p4")
	loader := filepath.Join(t.TempDir(), "bootmgfw.efi")
	if err := os.WriteFile(loader, []byte("the loader of Windows"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mmd", "-i", dev + "p1", "::/EFI", "::/EFI/BOOT", "::/EFI/Microsoft"},
		{"mcopy", "-i", dev + "p1", loader, "::/EFI/BOOT/BOOTX64.EFI"},
		{"mcopy", "-i", dev + "p1", loader, "::/EFI/Microsoft/bootmgfw.efi"}} {
		disktest.Tool(t, args[0], args[1:]...)
	}
	write(t, dev, 101<<20+12345, "what Microsoft reserved")
	return dev
}

// sharedESP is mtoolsESP for a partition that has files.
func sharedESP(t testing.TB) MountFunc {
	return func(node, dir string) (func() error, error) {
		cmd := exec.Command("sh", "-c", `mcopy -s -n -i "$0" '::/*' "$1" || :`, node, dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("mcopy: %w: %s", err, out)
		}
		return mtoolsESP(t)(node, dir)
	}
}

// divideJob is a job with a layout, on disks that are looked at again, with the serials D1, D2….
func divideJob(t testing.TB, o *Options, k *keeper, text string, devs ...string) (job.Spec, []job.Disk) {
	t.Helper()
	doc, err := layoutfile.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	look := func() (all []job.Disk) {
		for i, dev := range devs {
			disktest.Tool(t, "blockdev", "--flushbufs", dev) // what programs wrote through the files of partitions
			all = append(all, found(t, dev, fmt.Sprint("D", i+1)))
		}
		return all
	}
	o.Journal, o.Look = k, func(context.Context) ([]job.Disk, error) { return look(), nil }
	s := spec(devs[0])
	s.Disk = ""
	if s.Layout, err = json.Marshal(doc); err != nil {
		t.Fatal(err)
	}
	return s, look()
}

// parts is what is in partitions of a disk, as a digest, and its table as sfdisk writes it.
func parts(t testing.TB, dev string, numbers ...int) string {
	t.Helper()
	out := ""
	for _, n := range numbers {
		out += strings.Fields(disktest.Tool(t, "sha256sum", fmt.Sprintf("%sp%d", dev, n)))[0] + "\n"
	}
	for line := range strings.Lines(disktest.Tool(t, "sfdisk", "--dump", dev)) {
		for _, n := range numbers {
			if strings.HasPrefix(line, fmt.Sprintf("%sp%d ", dev, n)) || strings.HasPrefix(line, "label-id") {
				out += line
			}
		}
	}
	return out
}

const besideWindows = `version: 1
disks:
  - id: main
    match: {serial: D1}
    partitions:
      - {id: esp, use: esp, keep: true}
      - {id: pool, use: pool, size: rest}
      - {id: people, use: home, size: 150M}
      - {id: swap, use: swap, size: 64M}
`

// An install into the free space beside a Windows: what the layout does not mention stays as it is, and the machine
// starts both. Then it is installed again into its pool.
func TestLayoutBesideWindows(t *testing.T) {
	o := options(t)
	o.MountESP = sharedESP(t)
	vars := t.TempDir()
	o.Firmware = func() (*nvram.Vars, error) { return nvram.In(vars), nil }
	dev, other := windowsDisk(t, 512), disktest.Loop(t, 64<<20, 512)
	write(t, other, 12345, "photographs")
	before, beside := parts(t, dev, 2, 3, 4), sum(t, other)
	k, j := &keeper{}, &journal{}
	s, disks := divideJob(t, &o, k, besideWindows, dev, other)
	if err := Run(t.Context(), s, debian(t), disks, j, o); err != nil {
		t.Fatal(err)
	}
	if after := parts(t, dev, 2, 3, 4); after != before {
		t.Errorf("what the layout does not mention was\n%s and is\n%s", before, after)
	}
	if sum(t, other) != beside {
		t.Error("the other disk has changed")
	}
	if out := disktest.Tool(t, "sgdisk", "-v", dev); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v: %s", out)
	}
	if e := j.last(); e.State != job.Done || !slices.Equal(j.started, []string{"D1"}) {
		t.Errorf("the last event is %+v, started on %v", e, j.started)
	}
	if d := found(t, dev, "D1"); d.Installed != s.ID {
		t.Errorf("the disk is marked %q installed: %+v", d.Installed, d)
	}
	checkShared(t, dev, vars)

	// Again, as after a power cut before the server heard.
	whole, _ := sum(t, dev), k.all
	_, disks = divideJob(t, &o, k, besideWindows, dev, other)
	if err := Run(t.Context(), s, debian(t), disks, j, o); err != nil || j.last().State != job.Done || sum(t,
		dev) != whole {
		t.Errorf("Run once more = %v, last event %+v; want done, and nothing written", err, j.last())
	}
}

// checkShared looks at the ESP, the firmware and what the system mounts.
func checkShared(t *testing.T, dev, vars string) {
	t.Helper()
	for name, want := range map[string]string{"EFI/BOOT/BOOTX64.EFI": "the loader of Windows",
		"EFI/Microsoft/bootmgfw.efi": "the loader of Windows", "EFI/griddle/grubx64.efi": "", "griddle/grub.cfg": ""} {
		got, err := exec.Command("mtype", "-i", dev+"p1", "::/"+name).Output()
		if err != nil || want != "" && string(got) != want {
			t.Errorf("%s of the EFI system partition is %.40q, %v, want %q", name, got, err, want)
		}
	}
	state, err := nvram.In(vars).State()
	if err != nil || len(state.Entries) != 1 || len(state.Order) != 1 {
		t.Errorf("the firmware has %+v, %v, want an entry of ours", state, err)
	}
	pool, err := disk.Node(dev, "/sys", 5)
	if err != nil {
		t.Fatal(err)
	}
	top := t.TempDir()
	disktest.Tool(t, "mount", "-o", "ro,subvolid=5", pool, top)
	defer disktest.Tool(t, "umount", top)
	for name, want := range map[string]string{
		"@persistent/griddle/former/esp/EFI/BOOT/BOOTX64.EFI": "the loader of Windows",
		"@persistent/griddle/former/former.json":              "\"record\"",
		"@persistent/griddle/former/table-1.json":             `"serial":"D1"`,
		"@roots/web-20261120.2@amd64/etc/adjtime":             "LOCAL",
	} {
		if got, err := os.ReadFile(filepath.Join(top, name)); err != nil || !strings.Contains(string(got), want) {
			t.Errorf("%s has %.80q, %v, want %q", name, got, err, want)
		}
	}
	fstab, err := os.ReadFile(filepath.Join(top, "@roots/web-20261120.2@amd64/etc/fstab"))
	if err != nil {
		t.Fatal(err)
	}
	id := func(n int) string {
		return strings.TrimSpace(disktest.Tool(t, "blkid", "-p", "-o", "value", "-s", "UUID", fmt.Sprintf("%sp%d", dev,
			n)))
	}
	for _, want := range []string{"UUID=" + id(1) + " /boot/efi vfat ", "UUID=" + id(6) + " /home ext4 ",
		"UUID=" + id(7) + " none swap ", "UUID=" + id(5) + " / btrfs "} {
		if !strings.Contains(string(fstab), want) {
			t.Errorf("fstab lacks %q:\n%s", want, fstab)
		}
	}
	if strings.Contains(string(fstab), "subvol=/@home") {
		t.Errorf("fstab mounts @home beside a filesystem for /home:\n%s", fstab)
	}
	home := t.TempDir()
	disktest.Tool(t, "mount", "-o", "ro", dev+"p6", home)
	defer disktest.Tool(t, "umount", home)
	if got, err := os.ReadFile(filepath.Join(home, "alice/notes")); err != nil || string(got) != "hers" {
		t.Errorf("alice/notes on the filesystem for /home = %q, %v", got, err)
	}
}

// A plan that loses something needs an agreement to exactly this plan, and one that is stopped continues.
func TestLayoutAgreed(t *testing.T) {
	img, o := small(t, nil), options(t)
	const text = "version: 1\nlayout: whole-disk\nmatch: {serial: D1}\ntable: mbr\nwipe: true\n"
	dev := windowsDisk(t, 512)
	before := sum(t, dev)
	k := &keeper{}
	s, disks := divideJob(t, &o, k, text, dev)
	o.BIOS = true
	for want, hash := range map[string]string{"no one agreed to it": "", "no longer as they were": "sha256:0"} {
		s.Plan = hash
		j := &journal{}
		if err := Run(t.Context(), s, img, disks, j, o); !errors.Is(err, ErrRefused) ||
			!strings.Contains(j.last().Message, want) || len(j.started) > 0 || sum(t, dev) != before {
			t.Errorf("Run with the plan %q = %v, started on %v, want an error with %q and nothing written", hash, err,
				j.started, want)
		}
	}
	doc, err := layoutfile.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Make(plan.Input{Layout: doc, Disks: disks})
	if err != nil {
		t.Fatal(err)
	}
	s.Plan = p.Hash
	// The server is lost before each second record, then it answers again; then the machine starts again.
	for n := 2; ; n += 2 {
		k.fail = n
		_, disks = divideJob(t, &o, k, text, dev)
		j := &journal{}
		err := Run(t.Context(), s, img, disks, j, o)
		if err == nil {
			break
		}
		if !errors.Is(err, errServer) || n > 100 {
			t.Fatalf("Run without record %d = %v", n, err)
		}
	}
	if d := found(t, dev, "D1"); d.Installed != s.ID || d.Table != "mbr" || len(d.Partitions) != 2 {
		t.Errorf("the disk is %+v", d)
	}
	b := make([]byte, 512)
	f, err := os.Open(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.ReadAt(b, 0); err != nil || !strings.Contains(string(b), "GRUB ") {
		t.Errorf("the boot sector has no GRUB: %v", err)
	}
}

// A layout from which the machine would not start is refused before anything is written, and so is one that the agent
// cannot carry out.
func TestLayoutRefused(t *testing.T) {
	img, o := small(t, nil), options(t)
	dev := windowsDisk(t, 512)
	before := sum(t, dev)
	s, disks := divideJob(t, &o, &keeper{}, besideWindows, dev)
	for want, change := range map[string]func(*job.Spec, *Options){
		"add {id: bios, use: bios}":  func(_ *job.Spec, o *Options) { o.BIOS = true },
		"cannot carry one out":       func(_ *job.Spec, o *Options) { o.Journal = nil },
		"it has more than one value": func(s *job.Spec, _ *Options) { s.Layout = append(s.Layout, "{}"...) },
		"this program knows version": func(s *job.Spec, _ *Options) { s.Layout = json.RawMessage(`{"version": 9}`) },
		"the first record of this jo": func(_ *job.Spec,
			o *Options) {
			o.Journal = &keeper{all: []json.RawMessage{[]byte("{}")}}
		},
	} {
		s, o, j := s, o, &journal{}
		s.Layout = slices.Clone(s.Layout)
		change(&s, &o)
		if err := Run(t.Context(), s, img, disks, j, o); !errors.Is(err, ErrRefused) ||
			!strings.Contains(err.Error(), want) || len(j.started) > 0 {
			t.Errorf("Run = %v, want an error with %q", err, want)
		}
	}
	if sum(t, dev) != before {
		t.Error("the disk has changed")
	}
}

// A layout that keeps a pool and makes a partition for data: each root from then on mounts that, and what an earlier
// layout gave the machine. The pool, its systems and the other filesystem stay.
func TestLayoutKeepsPool(t *testing.T) {
	images, o := publishAll(t), options(t)
	dev, esp := disktest.Loop(t, 3<<30, 512), filepath.Join(t.TempDir(), "esp")
	o.MountESP = func(_, dir string) (func() error, error) {
		return func() error { return os.Rename(dir, esp) }, nil
	}
	vars := t.TempDir()
	o.Firmware = func() (*nvram.Vars, error) { return nvram.In(vars), nil }
	const head = "version: 1\ndisks:\n  - id: main\n    match: {serial: D1}\n    partitions:\n"
	s, disks := divideJob(t, &o, &keeper{}, head+"      - {id: esp, use: esp}\n"+
		"      - {id: pool, use: pool, size: 1300M}\n"+
		"      - {id: people, use: home, size: 150M}\n", dev)
	if err := Run(t.Context(), s, images[0], disks, &journal{}, o); err != nil {
		t.Fatal(err)
	}
	people := parts(t, dev, 3)

	o.Place = func(path string) (pool.Place, error) {
		p, err := pool.On(path)
		p.ESP = esp
		return p, err
	}
	s, disks = divideJob(t, &o, &keeper{}, head+"      - {id: esp, use: esp, keep: true}\n"+
		"      - {id: pool, use: pool, keep: true}\n      - {id: data, use: data, size: 100M, mount: /srv}\n", dev)
	s.ID = "0" + jobID[1:]
	j := &journal{}
	if err := Run(t.Context(), s, images[1], disks, j, o); err != nil {
		t.Fatalf("Run = %v, last event %+v", err, j.last())
	}
	if after := parts(t, dev, 3); strings.Split(after, "\n")[1] != strings.Split(people, "\n")[1] {
		t.Errorf("the partition for /home was\n%s and is\n%s", people, after)
	}
	top := t.TempDir()
	disktest.Tool(t, "mount", "-o", "ro,subvolid=5", dev+"p2", top)
	defer disktest.Tool(t, "umount", top)
	roots, err := filepath.Glob(filepath.Join(top, "@roots/*/etc/fstab"))
	if err != nil || len(roots) != 2 {
		t.Fatalf("the pool has the roots %v, %v, want two", roots, err)
	}
	fstab, err := os.ReadFile(filepath.Join(top, "@roots", "web-20261120.2@amd64", "etc/fstab"))
	if err != nil {
		t.Fatal(err)
	}
	for n, path := range map[int]string{3: "/home", 4: "/srv"} {
		id := strings.TrimSpace(disktest.Tool(t, "blkid", "-p", "-o", "value", "-s", "UUID",
			fmt.Sprintf("%sp%d", dev, n)))
		if !strings.Contains(string(fstab), "UUID="+id+" "+path+" ext4 ") {
			t.Errorf("fstab lacks %s of partition %d:\n%s", path, n, fstab)
		}
	}
}
