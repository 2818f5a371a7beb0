package content

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/disk/disktest"
)

const markJob = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab"

// shared is the content of a disk with one btrfs that has these bytes at MarkAt, and a table of this kind.
func shared(t *testing.T, table string, mark []byte) Content {
	t.Helper()
	const mib, at = 1 << 20, 1 << 20
	b := make([]byte, 4*mib)
	name := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if table == "gpt" {
		disktest.Tool(t, "sgdisk", "-n", "1:2048:+2M", "-c", "1:griddle", name)
	} else {
		disktest.Tool(t, "parted", "-s", "-a", "none", name, "mklabel", "msdos", "mkpart", "primary", "2048s", "6143s")
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	copy(b[at+0x10040:], "_BHRfS_M")
	copy(b[at+MarkAt:], mark)
	c, err := Inspect(bytes.NewReader(b), int64(len(b)), 512)
	if err != nil || len(c.Partitions) != 1 {
		t.Fatalf("Inspect = %+v, %v", c, err)
	}
	return c
}

// A pool on a disk that others share has its mark in its partition: it is read where a btrfs is, and only whole.
func TestMark(t *testing.T) {
	bytesOf := func(m Mark) []byte {
		b, err := m.Bytes()
		if err != nil || len(b) != MarkSize {
			t.Fatalf("Bytes = %d bytes, %v", len(b), err)
		}
		return b
	}
	unfinished, finished := bytesOf(Mark{Job: markJob}), bytesOf(Mark{Job: markJob, Finished: true})
	changed := func(at int, with string) []byte { // with the right sum
		b := bytes.Clone(finished)
		copy(b[at:], with)
		binary.LittleEndian.PutUint32(b[MarkSize-4:], crc32.ChecksumIEEE(b[:MarkSize-4]))
		return b
	}
	for _, table := range []string{"gpt", "mbr"} {
		for _, c := range []struct {
			name                 string
			mark                 []byte
			unfinished, finished string
		}{
			{"none", nil, "", ""},
			{"unfinished", unfinished, markJob, ""},
			{"finished", finished, "", markJob},
			{"half", finished[:256], "", ""},
			{"another sum", append(bytes.Clone(finished[:MarkSize-1]), 1), "", ""},
			{"another version", changed(13, "2"), "", ""},
			{"another state", changed(16, "X"), "", ""},
			{"no job", changed(17, "zz"), "", ""},
			{"upper case", changed(17, strings.ToUpper(markJob)), "", ""},
			{"in the bytes of later", changed(60, "of another program"), "", markJob},
		} {
			got := shared(t, table, c.mark)
			if got.Unfinished() != c.unfinished || got.Finished() != c.finished {
				t.Errorf("%s in a %s: unfinished %q, finished %q, want %q, %q", c.name, table, got.Unfinished(),
					got.Finished(), c.unfinished, c.finished)
			}
			if p, ok := got.Installed(); ok != (c.finished != "") || ok && (p.Number != 1 || p.Version != Shared) {
				t.Errorf("%s in a %s: the pool is %+v, %v", c.name, table, p, ok)
			}
		}
	}
	for _, id := range []string{"", "x", strings.ToUpper(markJob), strings.Repeat("5", 36)} {
		if b, err := (Mark{Job: id}).Bytes(); err == nil {
			t.Errorf("the mark of job %q is %q", id, b)
		}
	}
}

// What a disk says as a whole, by what its partitions say.
func TestPools(t *testing.T) {
	const other = "6c2f0a4e-7a1c-4d3e-9f00-0123456789ab"
	part := func(n int, name string, m Mark) Partition { return Partition{Number: n, Name: name, Mark: m} }
	done, begun := Mark{markJob, true}, Mark{markJob, false}
	for _, c := range []struct {
		name                 string
		has                  Content
		unfinished, finished string
	}{
		{"whole disk", Content{Table: "gpt", GUID: other, Partitions: []Partition{part(3, NameFinished, Mark{})}}, "",
			other},
		{"whole disk, unfinished", Content{Table: "gpt", GUID: other,
			Partitions: []Partition{part(3, NameUnfinished, Mark{})}}, other, ""},
		{"a name that says nothing", Content{Table: "gpt", GUID: other,
			Partitions: []Partition{part(3, "griddle", Mark{})}}, "", ""},
		{"an MBR has no GUID that is a job", Content{Table: "mbr", GUID: "1234abcd",
			Partitions: []Partition{part(3, NameFinished, Mark{})}}, "", ""},
		{"shared", Content{Table: "gpt", GUID: other, Partitions: []Partition{part(5, "griddle", done)}}, "", markJob},
		{"the mark counts, not the name", Content{Table: "gpt", GUID: other,
			Partitions: []Partition{part(3, NameFinished, begun)}}, markJob, ""},
		{"two pools", Content{Table: "gpt", GUID: other,
			Partitions: []Partition{part(3, NameFinished, Mark{}), part(5, "", done)}}, "", ""},
		{"one of two finished", Content{Table: "mbr",
			Partitions: []Partition{part(1, "", Mark{other, false}), part(2, "", done)}}, other, markJob},
		{"a job began on the whole disk", Content{Begun: other, Table: "mbr",
			Partitions: []Partition{part(2, "", done)}}, other, ""},
	} {
		if u, f := c.has.Unfinished(), c.has.Finished(); u != c.unfinished || f != c.finished {
			t.Errorf("%s: unfinished %q, finished %q, want %q, %q", c.name, u, f, c.unfinished, c.finished)
		}
	}
}

// A mark that another filesystem left where it was is none.
func TestMarkOfAnotherFilesystem(t *testing.T) {
	b, err := Mark{Job: markJob, Finished: true}.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	const size, at = 64 << 20, 1 << 20
	name := filepath.Join(t.TempDir(), "disk")
	part := filepath.Join(t.TempDir(), "part")
	for file, n := range map[string]int64{name: size, part: size - 2<<20} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, n); err != nil {
			t.Fatal(err)
		}
	}
	disktest.Tool(t, "sgdisk", "-n", "1:2048:+62M", name)
	disktest.Tool(t, "mkfs.ext4", "-q", "-F", part)
	disk, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	fs, err := os.ReadFile(part)
	if err != nil {
		t.Fatal(err)
	}
	copy(disk[at:], fs)
	copy(disk[at+MarkAt:], b)
	c, err := Inspect(bytes.NewReader(disk), size, 512)
	if err != nil || c.Partitions[0].Signature.Type != "ext4" || len(c.Pools()) != 0 {
		t.Errorf("Inspect = %+v, %v, want an ext4 without a mark", c, err)
	}
}

// An encrypted pool has its mark in the header of its volume, which is read without a key, and only whole.
func TestMarkOfEncrypted(t *testing.T) {
	const size, at = 40 << 20, 1 << 20
	dir := t.TempDir()
	name, part, key := filepath.Join(dir, "disk"), filepath.Join(dir, "part"), filepath.Join(dir, "key")
	if err := errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, size), os.WriteFile(part, nil, 0o600),
		os.Truncate(part, 32<<20), os.WriteFile(key, []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	disktest.Tool(t, "sgdisk", "-n", "1:2048:+32M", name)
	disktest.Tool(t, "cryptsetup", "luksFormat", "--batch-mode", "--pbkdf", "pbkdf2",
		"--pbkdf-force-iterations", "1000", "--label", "griddle", "--key-file", key, part)
	disk, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ subsystem, unfinished, finished string }{
		{"griddle:U:" + markJob, markJob, ""},
		{"griddle:F:" + markJob, "", markJob},
		{"griddle:X:" + markJob, "", ""},
		{"griddle:F:" + strings.ToUpper(markJob), "", ""},
		{"griddle:F", "", ""},
		{"of others", "", ""},
	} {
		disktest.Tool(t, "cryptsetup", "config", "--subsystem", c.subsystem, part)
		b, err := os.ReadFile(part)
		if err != nil {
			t.Fatal(err)
		}
		copy(disk[at:], b)
		for what, spoil := range map[string]int{"whole": -1, "one copy": 300, "the other copy": 16<<10 + 300} {
			b := bytes.Clone(disk)
			if spoil >= 0 {
				b[at+spoil]++
			}
			got, err := Inspect(bytes.NewReader(b), size, 512)
			if err != nil || got.Unfinished() != c.unfinished || got.Finished() != c.finished {
				t.Errorf("%s, %s: unfinished %q, finished %q, %v", c.subsystem, what, got.Unfinished(), got.Finished(),
					err)
			}
		}
		disk[at+300]++
		disk[at+16<<10+300]++
		if got, err := Inspect(bytes.NewReader(disk), size, 512); err != nil || len(got.Pools()) != 0 {
			t.Errorf("%s: with both copies damaged the disk has %+v, %v", c.subsystem, got.Pools(), err)
		}
	}
	m := Mark{Job: markJob, Finished: true}
	if s, err := m.Subsystem(); err != nil || parseSubsystem(s) != m {
		t.Errorf("the mark of %+v is %q, %v", m, s, err)
	}
	if s, err := (Mark{Job: "x"}).Subsystem(); err == nil {
		t.Errorf("the mark of job x is %q", s)
	}
}

func FuzzMark(f *testing.F) {
	for _, m := range []Mark{{markJob, true}, {markJob, false}} {
		b, err := m.Bytes()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("griddle:F:" + markJob))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m := parseSubsystem(string(b)); m != (Mark{}) {
			if s, err := m.Subsystem(); err != nil || s != string(b) {
				t.Errorf("%q is read as %+v, which is %q, %v", b, m, s, err)
			}
		}
		// With the right sum, so that more than the sum is tried.
		b = append(b, make([]byte, MarkSize)...)[:MarkSize]
		sum := bytes.Clone(b)
		binary.LittleEndian.PutUint32(sum[MarkSize-4:], crc32.ChecksumIEEE(sum[:MarkSize-4]))
		for _, b := range [][]byte{b, sum} {
			m := parseMark(b)
			if m == (Mark{}) {
				continue
			}
			again, err := m.Bytes()
			if err != nil || !bytes.Equal(again[:53], b[:53]) {
				t.Errorf("%q is read as %+v, which is %q, %v", b, m, again, err)
			}
		}
	})
}
