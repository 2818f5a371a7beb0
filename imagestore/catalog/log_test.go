package catalog

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/imagestore/blob"
	"griddle/imagestore/durable"
	"griddle/imagestore/imagetest"
)

// writtenLog makes a log with these entries, and returns its bytes.
func writtenLog(t *testing.T, path string, entries ...Entry) []byte {
	t.Helper()
	l, err := openLog(durable.Disk{}, path)
	if err == nil {
		err = l.update(t.Context(), func([]Entry) ([]Entry, error) { return entries, nil })
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestLogTornTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog")
	key := imagetest.NewKey(t).Public().String()
	whole := writtenLog(t, path, Entry{Kind: KindTrust, Key: key})
	two := writtenLog(t, path,
		Entry{Kind: KindPublish, Image: &Listed{Ref: "web:1@amd64", Template: "web", Version: "1", Arch: "amd64",
			Description: strings.Repeat("words ", 200)}})
	for n := len(whole); n <= len(two); n++ {
		if n > len(whole)+70 && n < len(two)-3 && n%31 != 0 {
			continue // within the JSON one byte is like another
		}
		for name, tail := range map[string]string{"cut": "", "zeros": strings.Repeat("\x00", 700),
			"garbage": "xx\nyy\n\nzz"} {
			if err := os.WriteFile(path, append(two[:n:n], tail...), 0o644); err != nil {
				t.Fatal(err)
			}
			l, err := openLog(durable.Disk{}, path)
			if err != nil {
				t.Fatal(err)
			}
			want := 1
			if n == len(two) {
				want = 2
			}
			entries, err := l.read()
			if err != nil || len(entries) != want {
				t.Fatalf("%s after %d bytes: %d entries, %v, want %d", name, n, len(entries), err, want)
			}
			if n%31 != 0 && n != len(two) {
				continue
			}
			add := func([]Entry) ([]Entry, error) {
				return []Entry{{Kind: KindTrust, Key: key}, {Kind: KindDelete, Ref: "x"}}, nil
			}
			if err := l.update(t.Context(), add); err != nil {
				t.Fatal(err)
			}
			fresh := &logFile{path: path}
			if entries, err := fresh.read(); err != nil || len(entries) != want+2 ||
				entries[want+1].Seq != int64(want+2) {
				t.Fatalf("%s after %d bytes, appended: %d entries, %v, want %d", name, n, len(entries), err, want+2)
			}
		}
	}
}

func FuzzLog(f *testing.F) {
	a, err := formatLine(Entry{Seq: 1, Kind: KindTrust, Key: "x"})
	if err != nil {
		f.Fatal(err)
	}
	b, err := formatLine(Entry{Seq: 2, Kind: KindPublish,
		Image: &Listed{Ref: "web:1@amd64", Template: "web", Version: "1", Arch: "amd64"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(a, b...))
	f.Add(append(a, b[:40]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, good, err := parseLog(b, 0)
		if err != nil {
			return
		}
		if good > int64(len(b)) || good > 0 && b[good-1] != '\n' {
			t.Errorf("parseLog(%q) = %d whole bytes", b, good)
		}
		Replay(entries)
	})
}

// FuzzReplay looks behind the checksums.
func FuzzReplay(f *testing.F) {
	f.Add([]byte(
		`{"seq":1,"kind":"publish","image":{"ref":"web:1@amd64","template":"web","version":"1","arch":"amd64","streams":[{"wire":1},{"parent":"web:1@amd64","wire":-5}]}}`))
	f.Add([]byte(`{"seq":1,"kind":"delete","ref":"x"}`))
	f.Fuzz(func(t *testing.T, js []byte) {
		b := fmt.Appendf(nil, "%s %s\n", blob.Sum(js).Hex(), js)
		if entries, _, err := parseLog(b, 0); err == nil {
			if v, err := Replay(entries); err == nil {
				for r := range v.images {
					v.way(r, nil)
				}
			}
		}
	})
}
