package receive_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"griddle/imagestore/receive"
	"griddle/imagestore/sendstream"
)

// TestBrokenStreams: what is no stream, or not a whole one, leaves nothing.
func TestBrokenStreams(t *testing.T) {
	target := t.TempDir()
	good := write(t, 1, sendstream.Command{Op: sendstream.OpMkfile, Path: "f"},
		sendstream.Command{Op: sendstream.OpWrite, Path: "f", Data: []byte("content")})
	second := 17 + 10 + int(binary.LittleEndian.Uint32(good[17:])) // where SUBVOL ends
	change := func(at int, to ...byte) []byte { b := bytes.Clone(good); copy(b[at:], to); return b }
	for _, c := range []struct {
		name   string
		stream []byte
		want   error
		at     int64
	}{
		{"empty", nil, io.ErrUnexpectedEOF, 0},
		{"no stream", []byte("#!/bin/sh\nexit 0 # and more"), sendstream.ErrMalformed, 0},
		{"header only", good[:17], io.ErrUnexpectedEOF, 17},
		{"cut off within a command", good[:second+12], io.ErrUnexpectedEOF, int64(second)},
		{"cut off behind a command", good[:second], io.ErrUnexpectedEOF, int64(second)},
		{"without END", good[:len(good)-10], io.ErrUnexpectedEOF, int64(len(good) - 10)},
		{"length of 4 GiB", change(second, 0xff, 0xff, 0xff, 0xff), sendstream.ErrTooLong, int64(second)},
		{"changed byte", change(second+12, 'x'), sendstream.ErrChecksum, int64(second)},
		{"version 9", change(13, 9), sendstream.ErrVersion, 0},
		{"bytes behind END", append(bytes.Clone(good), "more"...), sendstream.ErrMalformed, int64(len(good))},
		{"two streams", append(bytes.Clone(good), good...), nil, int64(len(good) + 17)},
	} {
		_, err := receive.Receive(t.Context(), bytes.NewReader(c.stream), target, receive.Options{Name: "x"})
		var at *sendstream.Error
		if err == nil || c.want != nil && !errors.Is(err, c.want) || !errors.As(err, &at) || at.Offset != c.at {
			t.Errorf("%s: %v, want %v at byte %d", c.name, err, c.want, c.at)
		}
		empty(t, c.name, target)
	}
}

// TestCancelled: a receive whose stream does not come ends with its context.
func TestCancelled(t *testing.T) {
	target := t.TempDir()
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	r, w := io.Pipe()
	defer w.Close()
	go func() {
		w.Write(write(t, 1, sendstream.Command{Op: sendstream.OpMkfile, Path: "f"})[:100])
		cancel(cause)
	}()
	if _, err := receive.Receive(ctx, r, target, receive.Options{Name: "x"}); !errors.Is(err, cause) {
		t.Errorf("Receive = %v, want %v", err, cause)
	}
	empty(t, "cancelled", target)
}

func TestNames(t *testing.T) {
	dir := t.TempDir()
	good := write(t, 1, sendstream.Command{Op: sendstream.OpUtimes, Atime: time.Unix(1, 0), Mtime: time.Unix(2, 0),
		Ctime: time.Unix(3, 0)})
	for _, name := range []string{"", ".", "..", "a/b", "/a", ".griddle-incoming-x", "a\x00"} {
		if _, err := receive.Receive(t.Context(), bytes.NewReader(good), dir, receive.Options{Name: name}); err == nil {
			t.Errorf("Name %q: no error", name)
		}
	}
	empty(t, "bad names", dir)
	res := ours(t, good, dir, receive.Options{Name: "x"})
	if res.Path != filepath.Join(dir, "x") || res.UUID != mine() || res.Ctransid != 5 || res.Raw != int64(len(good)) {
		t.Errorf("Result = %+v", res)
	}
	if _, err := receive.Receive(t.Context(), bytes.NewReader(good), dir,
		receive.Options{Name: "x"}); !errors.Is(err, unix.EEXIST) {
		t.Errorf("a name that exists: %v, want EEXIST", err)
	}
}
