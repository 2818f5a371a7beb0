package site

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/u-root/u-root/pkg/cpio"
)

const testCA = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n"

func testSite() Site {
	return Site{HTTP: "http://10.0.0.1:8080", HTTPS: "https://10.0.0.1:8443", CA: testCA,
		Trusted: []string{"RWQf6LRCGA9i53ml"}, Keymap: "de",
		Limited: []string{"RWQf6LRCGA9i53mm web* team/*"}, Catalog: Catalog{Key: "RWQf6LRCGA9i53mn", Seq: 7}}
}

func TestSiteRoundTrip(t *testing.T) {
	archive, err := Archive(testSite(), nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Archive(testSite(), nil)
	if err != nil || !bytes.Equal(archive, again) {
		t.Fatalf("the second archive of the same site differs (%v)", err)
	}
	if len(archive)%512 != 0 {
		t.Errorf("length %d is no multiple of 512", len(archive))
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(archive)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range records {
		names = append(names, r.Name)
		if r.MTime != 0 || r.UID != 0 || r.GID != 0 {
			t.Errorf("%s: mtime %d, owner %d:%d, want all 0", r.Name, r.MTime, r.UID, r.GID)
		}
	}
	if diff := cmp.Diff([]string{"etc", "etc/griddle", Path}, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	content := make([]byte, records[2].FileSize)
	if _, err := records[2].ReadAt(content, 0); err != nil {
		t.Fatal(err)
	}
	got, err := Parse(content)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(testSite(), got); diff != "" {
		t.Errorf("site (-want +got):\n%s", diff)
	}
}

func TestSiteMistakes(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Site)
		want   string
	}{
		{"no http", func(s *Site) { s.HTTP = "" }, "http: "},
		{"https in the clear", func(s *Site) { s.HTTPS = s.HTTP }, "https: "},
		{"no host", func(s *Site) { s.HTTP = "http:///x" }, "http: "},
		{"no CA", func(s *Site) { s.CA = "" }, "ca: "},
		{"a key as CA", func(s *Site) { s.CA = strings.ReplaceAll(testCA, "CERTIFICATE", "PRIVATE KEY") }, "ca: "},
		{"two lines in one key", func(s *Site) { s.Trusted = []string{"a\nb"} }, "trusted[0]: "},
		{"two lines of what a key may sign", func(s *Site) { s.Limited = []string{"a b\n"} }, "limited[0]: "},
		{"an entry of no catalog", func(s *Site) { s.Catalog.Key = "" }, "catalog: "},
		{"an entry before the first", func(s *Site) { s.Catalog.Seq = -1 }, "catalog: "},
		{"keymap elsewhere", func(s *Site) { s.Keymap = "../../etc/passwd" }, "keymap: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := testSite()
			c.change(&s)
			if _, err := Archive(s, nil); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Archive = %v, want an error with %q", err, c.want)
			}
			b, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Parse(b); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Parse = %v, want an error with %q", err, c.want)
			}
		})
	}
}

func FuzzParseSite(f *testing.F) {
	good, err := json.Marshal(testSite())
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{good, nil, []byte("{}"), []byte("null"), []byte(`{"http":1}`), good[:len(good)/2]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse(b)
		if err != nil {
			return
		}
		archive, err := Archive(s, nil)
		if err != nil {
			t.Fatalf("a site that was read cannot be written: %v", err)
		}
		if !bytes.Contains(archive, []byte(Path)) {
			t.Fatal("the archive lacks its file")
		}
	})
}

func TestWriteCPIOOrder(t *testing.T) {
	a := []cpio.Record{cpio.StaticFile("b/c/d", "x", 0o600), cpio.Symlink("a", "b"), cpio.Directory("b", 0o700)}
	b := []cpio.Record{a[2], a[0], a[1]}
	var first, second bytes.Buffer
	if err := WriteCPIO(&first, a); err != nil {
		t.Fatal(err)
	}
	if err := WriteCPIO(&second, b); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the order of records changes the archive")
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(first.Bytes())))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range records {
		got = append(got, r.Info.String())
	}
	want := []string{
		"a: Ino 1 Mode 0120777 UID 0 GID 0 NLink 1 MTime 1970-01-01 00:00:00 +0000 UTC FileSize 1 Major 0 Minor 0 " +
			"Rmajor 0 Rminor 0",
		"b: Ino 2 Mode 040700 UID 0 GID 0 NLink 1 MTime 1970-01-01 00:00:00 +0000 UTC FileSize 0 Major 0 Minor 0 " +
			"Rmajor 0 Rminor 0",
		"b/c: Ino 3 Mode 040755 UID 0 GID 0 NLink 1 MTime 1970-01-01 00:00:00 +0000 UTC FileSize 0 Major 0 Minor 0 " +
			"Rmajor 0 Rminor 0",
		"b/c/d: Ino 4 Mode 0100600 UID 0 GID 0 NLink 1 MTime 1970-01-01 00:00:00 +0000 UTC FileSize 1 Major 0 Minor " +
			"0 Rmajor 0 Rminor 0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}
