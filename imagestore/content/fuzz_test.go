package content

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
)

// FuzzBuilder reads any stream, its checksums put right. What becomes of it is a manifest that Parse takes, or an
// error.
func FuzzBuilder(f *testing.F) {
	streams, err := filepath.Glob("../sendstream/testdata/*.stream")
	if err != nil || len(streams) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range streams {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	tree := f.TempDir() // what content it cannot know from the stream is read from here
	f.Fuzz(func(t *testing.T, raw []byte) {
		parent := &Manifest{Entries: []Entry{{Type: Directory, Path: ".", Mode: 0o755}}}
		b := NewBuilder(parent, tree)
		if err := b.Read(bytes.NewReader(rightChecksums(raw))); err != nil {
			return
		}
		m, err := b.Finish(t.Context())
		if err != nil {
			return
		}
		var text bytes.Buffer
		if _, err := m.WriteTo(&text); err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(bytes.NewReader(text.Bytes())); err != nil {
			t.Errorf("the manifest cannot be read: %v\n%s", err, text.Bytes())
		}
	})
}

// rightChecksums gives each command the checksum that it should have.
func rightChecksums(raw []byte) []byte {
	b := bytes.Clone(raw)
	for at := 17; len(b)-at >= 10; {
		n := binary.LittleEndian.Uint32(b[at:])
		if uint64(n) > uint64(len(b)-at-10) {
			break
		}
		c := b[at : at+10+int(n)]
		clear(c[6:10])
		binary.LittleEndian.PutUint32(c[6:], ^crc32.Update(^uint32(0), crc32.MakeTable(crc32.Castagnoli), c))
		at += len(c)
	}
	return b
}
