package sendstream_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"griddle/imagestore/sendstream"
)

// command frames a payload as it is.
func command(version uint32, op uint16, payload ...byte) []byte {
	b := append([]byte("btrfs-stream\x00"), binary.LittleEndian.AppendUint32(nil, version)...)
	c := binary.LittleEndian.AppendUint32(nil, uint32(len(payload)))
	c = append(binary.LittleEndian.AppendUint16(c, op), 0, 0, 0, 0)
	c = append(c, payload...)
	binary.LittleEndian.PutUint32(c[6:], ^crc32.Update(^uint32(0), crc32.MakeTable(crc32.Castagnoli), c))
	return append(b, c...)
}

// length says that the first command has n bytes.
func length(n uint32) []byte {
	b := command(1, 12)
	binary.LittleEndian.PutUint32(b[17:], n)
	return b
}

func TestMalformed(t *testing.T) {
	path := []byte{15, 0, 1, 0, 'p'}
	for _, c := range []struct {
		name string
		raw  []byte
		want error
	}{
		{"version 0", command(0, 21), sendstream.ErrVersion},
		{"version 4", command(4, 21), sendstream.ErrVersion},
		{"4 GiB", length(1<<32 - 1), sendstream.ErrTooLong},
		{"version 1 over 64 KiB", command(1, 12, make([]byte, 64<<10-9)...), sendstream.ErrTooLong},
		{"version 2 over the limit", command(2, 12, make([]byte, sendstream.MaxCommand-9)...), sendstream.ErrTooLong},
		{"command 0", command(1, 0), sendstream.ErrMalformed},
		{"command 99", command(3, 99), sendstream.ErrMalformed},
		{"fallocate in version 1", command(1, 23, path...), sendstream.ErrMalformed},
		{"command 26 in version 2", command(2, 26, path...), sendstream.ErrMalformed},
		{"no path", command(1, 12), sendstream.ErrMalformed},
		{"half an attribute", command(1, 12, 15), sendstream.ErrMalformed},
		{"attribute without length", command(1, 12, 15, 0, 1), sendstream.ErrMalformed},
		{"attribute beyond the command", command(1, 12, 15, 0, 2, 0, 'p'), sendstream.ErrMalformed},
		{"attribute beyond the command, the longest", command(1, 12, 15, 0, 255, 255, 'p'), sendstream.ErrMalformed},
		{"attribute twice", command(1, 12, append(path, path...)...), sendstream.ErrMalformed},
		{"size of 3 bytes", command(1, 17, append(path, 4, 0, 3, 0, 1, 2, 3)...), sendstream.ErrMalformed},
		{"UUID of 17 bytes", command(1, 1, append(path, append([]byte{1, 0, 17, 0}, make([]byte, 17)...)...)...),
			sendstream.ErrMalformed},
		{"nanoseconds beyond a second", command(1, 20, append(path,
			append([]byte{11, 0, 12, 0}, bytes.Repeat([]byte{255}, 12)...)...)...), sendstream.ErrMalformed},
	} {
		_, err := decode(bytes.NewReader(c.raw))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	// What is unknown, or belongs to other commands, is passed over.
	for _, extra := range [][]byte{{200, 0, 2, 0, 1, 1}, {255, 255, 0, 0}, {4, 0, 1, 0, 9}} {
		got, err := decode(bytes.NewReader(append(command(1, 12, append(extra, path...)...), command(1, 21)[17:]...)))
		if err != nil || len(got) != 2 || got[0].Path != "p" {
			t.Errorf("attribute %v: %v, %v", extra, got, err)
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	if _, err := sendstream.NewWriter(nil, 0); !errors.Is(err, sendstream.ErrVersion) {
		t.Errorf("NewWriter for version 0: %v", err)
	}
	var b bytes.Buffer
	w, err := sendstream.NewWriter(&b, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		c    sendstream.Command
		want error
	}{
		{"unknown", sendstream.Command{Op: 99}, sendstream.ErrMalformed},
		{"version 2 in version 1", sendstream.Command{Op: sendstream.OpFallocate}, sendstream.ErrMalformed},
		{"64 KiB of data", sendstream.Command{Op: sendstream.OpWrite, Data: make([]byte, 64<<10)},
			sendstream.ErrTooLong},
		{"a command over 64 KiB", sendstream.Command{Op: sendstream.OpWrite, Data: make([]byte, 64<<10-20)},
			sendstream.ErrTooLong},
		{"a long path", sendstream.Command{Op: sendstream.OpUnlink, Path: string(make([]byte, 70000))},
			sendstream.ErrTooLong},
	} {
		if err := w.Write(&c.c); !errors.Is(err, c.want) || b.Len() != 0 {
			t.Errorf("%s: %v and %d bytes, want %v and none", c.name, err, b.Len(), c.want)
		}
	}
}
