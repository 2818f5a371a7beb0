package sendstream

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestAppenderWritesWhatWriterWrites(t *testing.T) {
	data := bytes.Repeat([]byte("data "), 1000)
	commands := []*Command{
		{Op: OpSubvol, Path: "s", UUID: UUID{1}, Ctransid: 7},
		{Op: OpMkfile, Path: "f"},
		{Op: OpWrite, Path: "f", FileOffset: 4096, Data: data},
		{Op: OpUtimes, Path: "f", Mtime: time.Unix(-5, 9), Atime: time.Unix(1, 0), Ctime: time.Unix(2, 0)},
		{Op: OpEnd},
		{Op: OpSnapshot, Path: "s2", UUID: UUID{2}, CloneUUID: UUID{1}},
		{Op: OpEnd},
	}
	var want bytes.Buffer
	w, err := NewWriter(&want, 1)
	if err != nil {
		t.Fatal(err)
	}
	a := NewAppender()
	var got []byte
	for _, c := range commands {
		if err := w.Write(c); err != nil {
			t.Fatal(err)
		}
		if c.Op != OpWrite {
			got, err = a.Append(got, c)
		} else {
			start := len(got)
			got, err = a.AppendWrite(got, c.Path, c.FileOffset, len(c.Data))
			copy(got[len(got)-len(c.Data):], c.Data)
			a.Seal(got[start:])
			if n := len(got) - start - len(c.Data); n != WriteOverhead(c.Path) {
				t.Errorf("WriteOverhead(%q) = %d, want %d", c.Path, WriteOverhead(c.Path), n)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("Appender made\n%x\nWriter\n%x", got, want.Bytes())
	}
}

func TestAppenderRefuses(t *testing.T) {
	a := NewAppender()
	before := []byte("before")
	b, err := a.AppendWrite(before, strings.Repeat("p", 4000), 0, 62<<10)
	if !errors.Is(err, ErrTooLong) || string(b) != "before" {
		t.Errorf("AppendWrite = %q, %v, want ErrTooLong", b, err)
	}
	b, err = a.Append(before, &Command{Op: OpSetXattr, Path: "p", XattrName: "user.x", Data: make([]byte, 65530)})
	if !errors.Is(err, ErrTooLong) || string(b) != "before" {
		t.Errorf("Append = %q, %v, want ErrTooLong", b, err)
	}
	b, err = a.Append(before, &Command{Op: OpFileAttr, Path: "p"})
	if !errors.Is(err, ErrMalformed) || string(b) != "before" {
		t.Errorf("Append = %q, %v, want ErrMalformed", b, err)
	}
}
