package sendstream_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/imagestore/sendstream"
)

// TestGolden reads streams that a kernel sent and compares the commands with text. -update writes the text; the streams
// stay: testdata/make.sh makes others.
func TestGolden(t *testing.T) {
	streams, err := filepath.Glob("testdata/*.stream")
	if err != nil || len(streams) == 0 {
		t.Fatalf("no streams in testdata (%v)", err)
	}
	for _, name := range streams {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got := dump(t, raw)
		golden := strings.TrimSuffix(name, ".stream") + ".txt"
		if update() {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

// update reports whether goldens are to be written.
func update() bool {
	f := flag.Lookup("update")
	return f != nil && f.Value.String() == "true"
}

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the goldens")
	flag.Parse()
	os.Exit(m.Run())
}

// dump gives a line for each command, with the fields that its layout has.
func dump(t *testing.T, raw []byte) string {
	t.Helper()
	d, err := sendstream.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "version %d\n", d.Version())
	for {
		c, err := d.Next()
		if err == io.EOF {
			return b.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%6d %v %q", c.Offset, c.Op, c.Path)
		for _, s := range []struct{ name, value string }{{"to", c.To}, {"link", c.Link}, {"clone_path", c.ClonePath},
			{"xattr", c.XattrName}} {
			if s.value != "" {
				fmt.Fprintf(&b, " %s=%q", s.name, s.value)
			}
		}
		for _, u := range []struct {
			name  string
			value sendstream.UUID
		}{{"uuid", c.UUID}, {"clone_uuid", c.CloneUUID}} {
			if !u.value.IsZero() {
				fmt.Fprintf(&b, " %s=%v", u.name, u.value)
			}
		}
		for _, n := range []struct {
			name  string
			value uint64
		}{{"ctransid", c.Ctransid}, {"clone_ctransid", c.CloneCtransid}, {"ino", c.Ino},
			{"mode", c.Mode}, {"rdev", c.Rdev},
			{"uid", c.UID}, {"gid", c.GID}, {"offset", c.FileOffset}, {"size", c.Size}, {"clone_offset", c.CloneOffset},
			{"clone_len", c.CloneLen}, {"file_len", c.UnencodedFileLen}, {"unencoded_len", c.UnencodedLen},
			{"unencoded_offset", c.UnencodedOffset}, {"compression", uint64(c.Compression)},
			{"data", uint64(len(c.Data))}} {
			if n.value != 0 {
				fmt.Fprintf(&b, " %s=%d", n.name, n.value)
			}
		}
		if c.Op == sendstream.OpUtimes {
			fmt.Fprintf(&b, " atime=%v mtime=%v ctime=%v", c.Atime.UnixNano(), c.Mtime.UnixNano(), c.Ctime.UnixNano())
			if !c.Otime.IsZero() {
				fmt.Fprintf(&b, " otime=%v", c.Otime.UnixNano())
			}
		}
		fmt.Fprintln(&b)
	}
}
