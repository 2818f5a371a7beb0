package receive

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/klauspost/compress/zstd"

	"griddle/imagestore/sendstream"
)

func zlibbed(t testing.TB, b []byte) []byte {
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return z.Bytes()
}

func zstded(t testing.TB, b []byte) []byte {
	w, err := zstd.NewWriter(nil, zstd.WithWindowSize(128<<10))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(b, nil)
}

// lzoed writes literals only: a first byte that says how many, and the end mark (Documentation/staging/lzo.rst).
func lzoed(b []byte) []byte {
	segment := append(append([]byte{byte(17 + len(b))}, b...), 0x11, 0, 0)
	out := binary.LittleEndian.AppendUint32(nil, uint32(8+len(segment)))
	out = binary.LittleEndian.AppendUint32(out, uint32(len(segment)))
	return append(out, segment...)
}

func TestDecode(t *testing.T) {
	text := bytes.Repeat([]byte("some text, "), 500)
	pad := make([]byte, 3000)
	short := []byte("twenty-two bytes of it")
	for _, c := range []struct {
		name string
		kind sendstream.Compression
		data []byte
		want []byte
	}{
		{"none", sendstream.CompressionNone, text, text},
		{"zlib", sendstream.CompressionZlib, zlibbed(t, text), text},
		{"zlib padded to the sector", sendstream.CompressionZlib, append(zlibbed(t, text), pad...), text},
		{"zstd", sendstream.CompressionZstd, zstded(t, text), text},
		{"zstd padded to the sector", sendstream.CompressionZstd, append(zstded(t, text), pad...), text},
		{"lzo", sendstream.CompressionLZO4K, lzoed(short), short},
		{"lzo padded to the sector", sendstream.CompressionLZO64K, append(lzoed(short), pad...), short},
	} {
		var d decoder
		n := uint64(len(c.want))
		got, err := d.decode(&sendstream.Command{Compression: c.kind, Data: c.data, UnencodedLen: n,
			UnencodedFileLen: n - 5, UnencodedOffset: 3})
		if err != nil || !bytes.Equal(got, c.want[3:n-2]) {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
		if c.kind == sendstream.CompressionNone {
			continue
		}
		// More room than data: zeros.
		got, err = d.decode(&sendstream.Command{Compression: c.kind, Data: c.data, UnencodedLen: n + 9,
			UnencodedFileLen: n + 9})
		if err != nil || !bytes.Equal(got, append(bytes.Clone(c.want), make([]byte, 9)...)) {
			t.Errorf("%s with zeros behind: %q, %v", c.name, got, err)
		}
		if _, err = d.decode(&sendstream.Command{Compression: c.kind, Data: c.data[:5], UnencodedLen: n,
			UnencodedFileLen: n}); !errors.Is(err, sendstream.ErrMalformed) {
			t.Errorf("%s cut off: %v, want ErrMalformed", c.name, err)
		}
	}
}

// FuzzDecode: compressed data of any kind give the bytes that they announce or an error.
func FuzzDecode(f *testing.F) {
	text := bytes.Repeat([]byte("some text, "), 50)
	f.Add(uint32(sendstream.CompressionZlib), uint16(len(text)), zlibbed(f, text))
	f.Add(uint32(sendstream.CompressionZstd), uint16(len(text)), zstded(f, text))
	f.Add(uint32(sendstream.CompressionLZO4K), uint16(22), lzoed([]byte("twenty-two bytes of it")))
	f.Fuzz(func(t *testing.T, kind uint32, n uint16, data []byte) {
		var d decoder
		got, err := d.decode(&sendstream.Command{Compression: sendstream.Compression(kind), Data: data,
			UnencodedLen: uint64(n), UnencodedFileLen: uint64(n)})
		if err == nil && len(got) != int(n) {
			t.Fatalf("%d bytes, want %d", len(got), n)
		}
		if err != nil && !errors.Is(err, sendstream.ErrMalformed) {
			t.Fatalf("%v, want ErrMalformed", err)
		}
	})
}
