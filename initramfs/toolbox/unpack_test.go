package toolbox

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"
)

// newc writes records as they are; site.WriteCPIO would clean their names.
func newc(t testing.TB, rs ...cpio.Record) []byte {
	t.Helper()
	var out bytes.Buffer
	w := cpio.Newc.Writer(&out)
	if err := cpio.WriteRecords(w, rs); err != nil {
		t.Fatal(err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// into unpacks an archive into a folder of a folder that has a file, and says whether that is all that is outside.
func into(t testing.TB, archive []byte, limit int64) (dir string, err error) {
	t.Helper()
	outside := t.TempDir()
	dir = filepath.Join(outside, "in")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	canary := filepath.Join(outside, "canary")
	if err := os.WriteFile(canary, []byte("alive"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	err = unpack(t.Context(), root, bytes.NewReader(archive), limit)
	if b, e := os.ReadFile(canary); string(b) != "alive" {
		t.Errorf("the file beside the folder = %q, %v", b, e)
	}
	if all, _ := os.ReadDir(outside); len(all) != 2 {
		t.Errorf("the folder's folder has %v", all)
	}
	return dir, err
}

func TestHostile(t *testing.T) {
	for _, c := range []struct {
		name    string
		records []cpio.Record
		want    string
	}{
		{"through a link", []cpio.Record{cpio.Symlink("way", ".."), cpio.StaticFile("way/canary", "dead", 0o644)},
			"escapes"},
		{"onto a link", []cpio.Record{cpio.Symlink("file", "../canary"), cpio.StaticFile("file", "dead", 0o644)}, ""},
		{"out of the folder", []cpio.Record{cpio.StaticFile("../canary", "dead", 0o644)}, "leads out"},
		{"a device", []cpio.Record{cpio.CharDev("null", 0o666, 1, 3)}, "only files"},
		{"more than it says", []cpio.Record{cpio.StaticFile("a", strings.Repeat("x", 101), 0o644)},
			"more than it says"},
		{"a long link", []cpio.Record{cpio.Symlink("a", strings.Repeat("x", 101))}, "more than it says"},
		{"a file as a folder", []cpio.Record{cpio.StaticFile("a", "x", 0o644), cpio.StaticFile("a/b", "x", 0o644)},
			"a/b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := into(t, newc(t, c.records...), 100)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("unpack = %v, want %q", err, c.want)
			}
		})
	}
	whole := newc(t, records()...)
	for n := 0; n < len(whole); n += 13 {
		_, _ = into(t, whole[:n], 1<<20) // a part has another digest; what counts is what it cannot do
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(newc(f, records()...))
	f.Add(newc(f, cpio.Symlink("way", ".."), cpio.StaticFile("way/canary", "dead", 0o644)))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir, _ := into(t, b, 1<<16)
		var size int64
		_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if info, err := d.Info(); err == nil {
					size += info.Size()
				}
			}
			return nil
		})
		if size > 1<<16 {
			t.Errorf("unpacked %d bytes, the limit is %d", size, 1<<16)
		}
	})
}
