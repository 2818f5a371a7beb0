package sendstream_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"griddle/imagestore/sendstream"
)

// FuzzReader: any bytes give commands and then io.EOF or an *Error; the commands survive a Writer and another Reader.
// The checksums are put right first, or the fuzzer would see little but ErrChecksum.
func FuzzReader(f *testing.F) {
	for version := 1; version <= sendstream.MaxVersion; version++ {
		all := everything(version)
		for i := range all {
			all[i].Data = all[i].Data[:min(len(all[i].Data), 50)] // a long seed makes the fuzzer slow
		}
		f.Add(encode(f, version, all...))
	}
	streams, err := filepath.Glob("testdata/*.stream")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range streams {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		commands, err := decode(bytes.NewReader(fixChecksums(raw)))
		var at *sendstream.Error
		if err != nil && !errors.As(err, &at) {
			t.Fatalf("%v is no *Error", err)
		}
		if err != nil && (at.Offset < 0 || at.Offset > int64(len(raw))) {
			t.Fatalf("offset %d of %d bytes", at.Offset, len(raw))
		}
		if len(commands) == 0 || len(raw) < 17 {
			return
		}
		var b bytes.Buffer
		w, werr := sendstream.NewWriter(&b, int(raw[13]))
		if werr != nil {
			t.Fatal(werr)
		}
		for i, c := range commands {
			if i > 0 && commands[i-1].Op == sendstream.OpEnd {
				commands = commands[:i] // a further stream may have another version
				break
			}
			if werr := w.Write(&c); errors.Is(werr, sendstream.ErrTooLong) {
				return // a value that only just fits without what the Writer adds
			} else if werr != nil {
				t.Fatal(werr)
			}
		}
		again, err := decode(&b)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
		if len(again) != len(commands) {
			t.Fatalf("%d commands, want %d", len(again), len(commands))
		}
		for i := range commands {
			if x, y := normal(commands[i]), normal(again[i]); !reflect.DeepEqual(x, y) {
				t.Fatalf("command %d: %+v, want %+v", i, y, x)
			}
		}
	})
}

// normal makes no difference between no bytes and nil.
func normal(c sendstream.Command) sendstream.Command {
	for _, b := range []*[]byte{&c.Data, &c.VeritySalt, &c.VeritySignature} {
		if len(*b) == 0 {
			*b = nil
		}
	}
	return c
}

// fixChecksums walks over the commands and gives each the checksum that it should have.
func fixChecksums(raw []byte) []byte {
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
		if binary.LittleEndian.Uint16(c[4:]) == uint16(sendstream.OpEnd) {
			at += 17
		}
	}
	return b
}
