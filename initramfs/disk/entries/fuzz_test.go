package entries

import (
	"bytes"
	"hash/crc32"
	"io"
	"testing"
)

// ends is a disk of 8 MiB of which only the first and the last bytes are not zero.
type ends struct{ head, tail []byte }

const endsSize = 8 * mib

func (e ends) places() image { return image{{0, e.head}, {endsSize - int64(len(e.tail)), e.tail}} }

func (e ends) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 || at > endsSize-int64(len(b)) {
		return 0, io.EOF
	}
	return e.places().ReadAt(b, at)
}

func (e ends) WriteAt(b []byte, at int64) (int, error) {
	for _, p := range e.places() {
		if from := max(at, p.At); from < min(at+int64(len(b)), p.end()) {
			copy(p.Bytes[from-p.At:], b[from-at:])
		}
	}
	return len(b), nil
}

func (e ends) Sync() error { return nil }

func (e ends) clone() ends { return ends{bytes.Clone(e.head), bytes.Clone(e.tail)} }

// sealed gives both headers of a GPT the right checksums, so that fuzzing gets behind these.
func (e ends) sealed(sector int64) {
	for _, at := range []int64{sector, endsSize - sector} {
		h := make([]byte, sector)
		if e.ReadAt(h, at); string(h[:8]) != gptMagic {
			continue
		}
		n := int64(le.Uint32(h[gptCount:])) * int64(le.Uint32(h[gptEach:]))
		if array := le.Uint64(h[gptArray:]); n < mib && array < endsSize/512 {
			b := make([]byte, n)
			e.ReadAt(b, int64(array)*sector)
			le.PutUint32(h[gptArraySum:], crc32.ChecksumIEEE(b))
		}
		if length := int64(le.Uint32(h[gptLength:])); length >= gptMinLength && length <= sector {
			le.PutUint32(h[gptSum:], headerSum(h, length))
		}
		e.WriteAt(h, at)
	}
}

// FuzzRead has any bytes be the ends of a disk. A table that can be read is written as it is, edits change only their
// own bytes, and what is saved leads back to it.
func FuzzRead(f *testing.F) {
	for _, c := range shapes {
		b := c.disk()
		f.Add(b[:40<<10], b[len(b)-40<<10:], c.sector == 4096)
	}
	b := oldDisk()
	f.Add(b[:40<<10], []byte{}, false)
	f.Add([]byte{}, []byte{}, true)
	f.Fuzz(func(t *testing.T, head, tail []byte, large bool) {
		sector := int64(512)
		if large {
			sector = 4096
		}
		if len(head) > 1<<17 || len(tail) > 1<<17 {
			return
		}
		disk := ends{bytes.Clone(head), bytes.Clone(tail)}
		disk.sealed(sector)
		before := disk.clone()
		tab, err := Read(disk, endsSize, int(sector))
		if err != nil {
			return
		}
		from := tab.Saved()
		ok(t, tab.Write(disk))
		for _, e := range tab.Entries() {
			if e.Start < 0 || e.Size <= 0 || e.Start > endsSize-e.Size {
				t.Errorf("entry %+v is not on the disk", e)
			}
			if tab.SetSize(e.Number, e.Size) == nil && !bytes.Equal(from, tab.Saved()) {
				t.Errorf("the size that it has changes entry %+v", e)
			}
			tab = must(Read(disk, endsSize, int(sector)))(t)
		}
		added := 0
		for n := 1; n <= tab.slots() && added == 0; n++ {
			if tab.Add(Entry{Number: n, Start: 5 * mib, Size: 8192, Type: "Linux swap"}) == nil {
				added = n
			}
		}
		ok(t, tab.Write(disk))
		back := must(Read(disk, endsSize, int(sector)))(t)
		if !bytes.Equal(back.Saved(), tab.Saved()) {
			t.Error("the disk has another table than the one that was written")
		}
		if added > 0 && len(back.Entries()) == 0 {
			t.Errorf("entry %d is not on the disk", added)
		}
		ok(t, Recover(disk, endsSize, int(sector), tab.Saved(), from))
		if !bytes.Equal(disk.head, before.head) || !bytes.Equal(disk.tail, before.tail) {
			t.Error("taken back, the disk differs")
		}
	})
}

// FuzzRestore has any bytes be a saved table. What is restored can be read.
func FuzzRestore(f *testing.F) {
	gpt, old := shapes[1].disk(), oldDisk()
	for _, b := range [][]byte{gpt, old} {
		f.Add(must(Save(onDisk(b), endsSize, 512))(f))
	}
	f.Add([]byte(`{"version":1,"kind":"gpt","size":8388608,"sectorSize":512,` +
		`"places":[{"at":-1,"bytes":"AAAA"},{"at":9223372036854775807,"bytes":"AAAA"}]}`))
	f.Fuzz(func(t *testing.T, saved []byte) {
		disk := ends{bytes.Clone(gpt[:40<<10]), bytes.Clone(gpt[len(gpt)-40<<10:])}
		whole := must(Read(disk, endsSize, 512))(t)
		if Recover(disk, endsSize, 512, whole.Saved(), saved) == nil {
			must(Read(disk, endsSize, 512))(t)
		}
		empty := ends{make([]byte, 40<<10), make([]byte, 40<<10)}
		if Restore(empty, endsSize, 512, saved) != nil {
			return
		}
		if tab, err := Read(empty, endsSize, 512); err == nil {
			tab.Entries()
		}
	})
}
