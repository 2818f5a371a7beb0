package dividetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/disktest"
)

// Random makes a disk and attaches it.
func Random(t testing.TB, r *rand.Rand, serial string) *Disk {
	t.Helper()
	d := &Disk{Serial: serial, Sector: pick(r, 512, 512, 4096), File: filepath.Join(t.TempDir(), serial)}
	switch n := r.IntN(20); {
	case n < 12:
		d.Size = between(r, 400*mib, 8*gib)
	case n < 17:
		d.Size = between(r, 8*gib, 64*gib)
	case n < 19:
		d.Size = between(r, 64*gib, tib)
	default:
		d.Size = between(r, tib, 6*tib)
	}
	d.Size = roundUp(d.Size, pick[int64](r, 4096, mib))
	if err := errors.Join(os.WriteFile(d.File, nil, 0o600), os.Truncate(d.File, d.Size)); err != nil {
		t.Fatal(err)
	}
	d.Attach(t)
	switch has := pick(r, "blank", "unknown", "whole", "begun", "mbr", "mbr", "mbr", "mbr", "mbr", "mbr", "mbr", "gpt",
		"gpt", "gpt", "gpt", "gpt", "gpt", "gpt", "gpt", "gpt"); has {
	case "gpt", "mbr":
		d.Table = has
	case "unknown":
		at, n := unknown(r, d.Size)
		noise(t, r, d.Dev, at, n)
	case "whole": // a filesystem without a table
		Part{Size: d.Size, Kind: pick(r, Ext4, XFS, NTFS, LVM, MD, LUKS)}.fill(t, r, d, d.Dev)
	case "begun":
		mark, err := content.BegunSector(oldJob(r), d.Sector)
		if err != nil {
			t.Fatal(err)
		}
		overwrite(t, d.Dev, d.Size-int64(d.Sector), mark)
	}
	if d.Table != "" {
		d.divide(t, r)
	}
	d.settle(t)
	return d
}

// unknown is where a disk of size bytes, 400 MiB or more, has bytes that content.Sample finds each time: in the first
// or the last 16 MiB, all of which it reads, or over at least one whole 1/1024 of the disk, in each of which it reads
// at a random place. A disk on which it finds them only sometimes has no right answer.
func unknown(r *rand.Rand, size int64) (at, n int64) {
	const ends, parts, align = 16 * mib, 1024, 8192
	n = between(r, 512, 4*mib)
	switch r.IntN(4) {
	case 0:
		return r.Int64N(ends - n), n
	case 1:
		return size - ends + r.Int64N(ends-n), n
	}
	if n = 2*size/parts + align; n > 64*mib {
		return r.Int64N(ends / 2), ends / 2
	}
	return r.Int64N(size - n), n
}

// oldJob is the ID of a job of long ago.
func oldJob(r *rand.Rand) string {
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", r.Uint32(), r.Int64N(1<<48))
}

// divide makes a table with partitions and fills them, and some of the space between them.
func (d *Disk) divide(t testing.TB, r *rand.Rand) {
	t.Helper()
	sector := int64(d.Sector)
	unit := pick(r, mib, mib, mib, sector)
	from, to := roundUp(2*sector+16<<10, sector), d.Size/sector*sector-sector-16<<10
	if d.Table == "mbr" {
		from, to = sector, min(d.Size/sector, 1<<32)*sector
	}
	at := roundUp(max(from, pick(r, from, 63*sector, mib)), unit)
	numbers := r.Perm(12)
	if d.Table == "mbr" {
		numbers = r.Perm(4)
	}
	extended := -1
	if d.Table == "mbr" && r.IntN(2) == 0 {
		extended = r.IntN(4)
	}
	for i := range min(len(numbers), r.IntN(7)+r.IntN(2)) {
		if r.IntN(3) == 0 {
			at = roundUp(at+between(r, 4096, (to-at)/4), unit)
		}
		p := Part{Number: numbers[i] + 1, Start: at}
		room := (to - at) / unit * unit
		if room < 2*mib {
			break
		}
		p.Kind, p.Size = d.kind(r, i, room)
		if i == extended {
			p.Kind, p.Size = extendedKind, between(r, min(room, 8*mib), room)
		}
		p.Size = min(room, roundUp(p.Size, unit))
		d.Parts = append(d.Parts, p)
		if i == extended {
			d.logical(r, p, unit)
		}
		at = p.end()
	}
	d.write(t, r, from)
	d.leftovers(t, r, to)
	for _, p := range d.Parts {
		if p.Kind != extendedKind {
			p.fill(t, r, d, d.node(t, p.Number))
		}
	}
	if r.IntN(2) == 0 { // a boot loader
		noise(t, r, d.Dev, 0, 440)
	}
	if d.Table == "mbr" && r.IntN(8) == 0 { // a table without an ID
		overwrite(t, d.Dev, 440, make([]byte, 4))
	}
}

// logical adds logical partitions within an extended one. Before each is a MiB for its link.
func (d *Disk) logical(r *rand.Rand, frame Part, unit int64) {
	at := roundUp(frame.Start+mib, unit)
	for n := 5; n < 5+r.IntN(4); n++ {
		room := (frame.end() - at) / unit * unit
		if room < 2*mib {
			return
		}
		p := Part{Number: n, Start: at}
		p.Kind, p.Size = d.kind(r, n, room)
		p.Size = min(room, roundUp(p.Size, unit))
		d.Parts = append(d.Parts, p)
		at = roundUp(p.end()+mib, unit)
	}
}

// kind is what is in the i-th partition, which has room bytes at most, and how large it is.
func (d *Disk) kind(r *rand.Rand, i int, room int64) (Kind, int64) {
	if i == 0 && room > 300*mib && r.IntN(2) == 0 {
		return ESP, between(r, 34*mib, 300*mib)
	}
	if d.Table == "gpt" && r.IntN(10) == 0 {
		return pick(r, BIOS, Reserved), between(r, mib, min(room, 16*mib))
	}
	if room > 3*gib/2 && r.IntN(2) == 0 { // large enough to be shrunk
		return pick(r, NTFS, NTFS, Ext2, Ext4, Btrfs, Btrfs), between(r, 3*gib/2, min(room, 8*gib))
	}
	size := between(r, mib, room)
	var fit []Kind
	for _, k := range kinds {
		if k.least <= size && (k.most == 0 || size <= k.most) && (d.Table == "gpt" || k.mbr != "") {
			fit = append(fit, k.kind)
		}
	}
	k := pick(r, fit...)
	if k == Pool && slices.ContainsFunc(d.Parts, func(p Part) bool { return p.Kind == Pool || p.Kind == Begun }) {
		k = Ext4
	}
	return k, size
}

// write has sfdisk write the table.
func (d *Disk) write(t testing.TB, r *rand.Rand, from int64) {
	t.Helper()
	sector := int64(d.Sector)
	slices.SortFunc(d.Parts, func(a, b Part) int {
		if a.Start == b.Start {
			return a.Number - b.Number // the extended one before its first logical one
		}
		return int(min(1, max(-1, a.Start-b.Start)))
	})
	script := fmt.Sprintf("label: dos\nlabel-id: 0x%08x\n", 1+r.Uint32N(1<<31))
	if d.Table == "gpt" {
		script = fmt.Sprintf("label: gpt\nfirst-lba: %d\n", from/sector)
		if r.IntN(8) == 0 {
			script += "table-length: 16\n"
		}
	}
	for _, p := range d.Parts {
		of := p.Kind.of()
		script += fmt.Sprintf("%sp%d : start=%d, size=%d, ", d.Dev, p.Number, p.Start/sector, p.Size/sector)
		switch {
		case d.Table == "mbr":
			script += "type=" + of.mbr
			if p.Number == 1 {
				script += ", bootable"
			}
		default:
			script += "type=" + of.gpt
			if name := pick(r, "", "Basic data partition", "x", "Größe"); p.Kind == Pool || p.Kind == Begun {
				script += `, name="griddle"`
			} else if name != "" {
				script += fmt.Sprintf(", name=%q", name)
			}
			if r.IntN(3) == 0 {
				script += fmt.Sprintf(", attrs=%q", pick(r, "RequiredPartition", "LegacyBIOSBootable", "GUID:63",
					"GUID:48,60"))
			}
		}
		script += "\n"
	}
	cmd := exec.Command("sfdisk", "--quiet", "--no-reread", d.Dev)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v: %s\n%s", err, out, script)
	}
	d.announce(t)
}

// leftovers puts what was left of earlier times into some of the space that no partition has.
func (d *Disk) leftovers(t testing.TB, r *rand.Rand, to int64) {
	t.Helper()
	at := int64(mib)
	for _, p := range append(slices.Clone(d.Parts), Part{Start: to}) {
		if p.Number > 4 && d.Table == "mbr" {
			continue
		}
		if room := p.Start - at; room > 64*mib && r.IntN(3) == 0 {
			disktest.Tool(t, "mkfs.ext4", "-q", "-F", "-E", fmt.Sprintf("offset=%d", roundUp(at, mib)), d.Dev, "48M")
		} else if room > 8192 && r.IntN(2) == 0 {
			n := min(room, between(r, 4096, 2*mib)) &^ 4095
			noise(t, r, d.Dev, roundUp(at+r.Int64N(room-n+1), 4096)-4096, n)
		}
		at = max(at, p.end())
	}
}
