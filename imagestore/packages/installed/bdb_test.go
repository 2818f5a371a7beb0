package installed

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"griddle/imagestore/packages"
)

// berkeley has Berkeley DB itself make a hash of values by number, with pages of 512 bytes. option is one of
// db5.3_load's -c, or "--".
func berkeley(t testing.TB, option string, values map[uint32][]byte) []byte {
	t.Helper()
	var order binary.AppendByteOrder = binary.LittleEndian
	if option == "db_lorder=4321" {
		order = binary.BigEndian
	}
	text := "VERSION=3\nformat=bytevalue\ntype=hash\ndb_pagesize=512\nHEADER=END\n"
	for _, n := range slices.Sorted(maps.Keys(values)) {
		text += " " + hex.EncodeToString(order.AppendUint32(nil, n)) + "\n " + hex.EncodeToString(values[n]) + "\n"
	}
	path := filepath.Join(t.TempDir(), "Packages")
	args := []string{path}
	if option != "--" {
		args = []string{"-c", option, path}
	}
	c := exec.Command("db5.3_load", args...)
	c.Stdin = strings.NewReader(text + "DATA=END\n")
	if out, err := c.CombinedOutput(); errors.Is(err, exec.ErrNotFound) {
		t.Fatal("db5.3_load is missing; run make deps")
	} else if err != nil {
		t.Fatalf("db5.3_load: %v: %s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestBerkeleyDB has the headers that rpm wrote in a database that Berkeley DB wrote, which rpm reads too.
func TestBerkeleyDB(t *testing.T) {
	dir := rpmTree(t)
	db := filepath.Join(dir, rpmPath, "rpmdb.sqlite")
	values := map[uint32][]byte{0: {3, 0, 0, 0}}
	for line := range strings.Lines(run(t, "sqlite3", db, "SELECT hnum, hex(blob) FROM Packages")) {
		var n uint32
		var blob string
		if _, err := fmt.Sscanf(strings.ReplaceAll(line, "|", " "), "%d %s", &n, &blob); err != nil {
			t.Fatal(err)
		}
		b, err := hex.DecodeString(blob)
		if err != nil {
			t.Fatal(err)
		}
		values[n] = b
	}
	for _, path := range []string{db, db + "-wal", db + "-shm"} {
		if err := os.Remove(path); err != nil && path == db {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, rpmPath, "Packages"), string(berkeley(t, "--", values)))
	if got, want := read(t, dir), rpmSays(t, dir); len(want.Packages) != 3 || !reflect.DeepEqual(got, want) {
		t.Errorf("Read = %+v, rpm says %+v", got, want)
	}
}

// TestBerkeleyDBForms has values on the page of their key and on several pages, more than one bucket,
// and either byte order.
func TestBerkeleyDBForms(t *testing.T) {
	values := map[uint32][]byte{0: {200, 0, 0, 0}, 201: header("gpg-pubkey", "1", "2", "", -1)}
	want := packages.List{Manager: packages.RPM}
	for i := range uint32(200) {
		p := packages.Package{Name: fmt.Sprintf("p%03d", i), Version: "1-2", Arch: "noarch"}
		h := header(p.Name, "1", "2", p.Arch, -1)
		values[i+1] = append(h, make([]byte, 7*i)...)
		want.Packages = append(want.Packages, p)
	}
	for _, option := range []string{"--", "db_lorder=4321"} {
		b := berkeley(t, option, values)
		dir := t.TempDir()
		write(t, filepath.Join(dir, "var/lib/rpm/Packages"), string(b))
		if got := read(t, dir); !reflect.DeepEqual(got, want) {
			t.Errorf("with %s Read finds %d packages, or others, want %d", option,
				len(got.Packages), len(want.Packages))
		}
	}
}

// TestBerkeleyDBHostile changes a good database in one place.
func TestBerkeleyDBHostile(t *testing.T) {
	long := append(header("a", "1", "2", "noarch", -1), make([]byte, 2000)...)
	good := berkeley(t, "--", map[uint32][]byte{0: {1, 0, 0, 0}, 1: long})
	if l, err := parseBDB(good); err != nil || len(l) != 1 {
		t.Fatalf("parseBDB = %+v, %v, want one package", l, err)
	}
	word := binary.LittleEndian
	// first is the page with what is found, and where on it.
	first := func(b []byte, kind byte) []byte {
		for at := 512; at+512 <= len(b); at += 512 {
			if page := b[at:][:512]; page[25] == kind && (kind != pageHash || word.Uint16(page[20:]) > 0) {
				return page
			}
		}
		t.Fatalf("no page is of kind %d", kind)
		return nil
	}
	value := func(b []byte) []byte { // the item of the long one, which is off the page
		for ; len(b) > 512; b = b[512:] {
			page := b[512:1024]
			for i := 0; page[25] == pageHash && i < int(word.Uint16(page[20:])); i++ {
				if item := page[word.Uint16(page[bdbHeader+2*i:]):]; item[0] == itemOffPage {
					return item
				}
			}
		}
		t.Fatal("no value is on overflow pages")
		return nil
	}
	for _, c := range []struct {
		name string
		do   func(b []byte) []byte
	}{
		{"cut off", func(b []byte) []byte { return b[:len(b)-512] }},
		{"only a beginning", func(b []byte) []byte { return b[:100] }},
		{"encrypted", func(b []byte) []byte { b[24] = 1; return b }},
		{"a B-tree", func(b []byte) []byte { b[25] = 9; return b }},
		{"pages of no size", func(b []byte) []byte { word.PutUint32(b[20:], 0); return b }},
		{"pages of an odd size", func(b []byte) []byte { word.PutUint32(b[20:], 513); return b }},
		{"more pages than bytes", func(b []byte) []byte { word.PutUint32(b[32:], 1<<32-1); return b }},
		{"an odd number of items", func(b []byte) []byte { first(b, pageHash)[20]++; return b }},
		{"more items than a page has",
			func(b []byte) []byte { word.PutUint16(first(b, pageHash)[20:], 1<<15); return b }},
		{"an item in the header",
			func(b []byte) []byte { word.PutUint16(first(b, pageHash)[bdbHeader:], 3); return b }},
		{"an item beyond the page",
			func(b []byte) []byte { word.PutUint16(first(b, pageHash)[bdbHeader:], 600); return b }},
		{"a value of an unknown kind", func(b []byte) []byte { value(b)[0] = 4; return b }},
		{"a value on a page that is not there",
			func(b []byte) []byte { word.PutUint32(value(b)[4:], 1<<31); return b }},
		{"a value on a page of a bucket", func(b []byte) []byte { word.PutUint32(value(b)[4:], 1); return b }},
		{"a value without end", func(b []byte) []byte { word.PutUint32(value(b)[8:], 1<<32-1); return b }},
		{"a value that is shorter than its pages",
			func(b []byte) []byte { word.PutUint32(value(b)[8:], 10); return b }},
		{"a value in a circle", func(b []byte) []byte {
			p := first(b, pageOverflow)
			copy(p[16:20], p[8:12]) // next is itself
			return b
		}},
		{"an empty page of a value",
			func(b []byte) []byte { word.PutUint16(first(b, pageOverflow)[22:], 0); return b }},
		{"a page of a value that is too full",
			func(b []byte) []byte { word.PutUint16(first(b, pageOverflow)[22:], 60000); return b }},
	} {
		if l, err := parseBDB(c.do(slices.Clone(good))); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: parseBDB = %+v, %v, want ErrDamaged", c.name, l, err)
		}
	}
}

// TestLongWay has records that name the same bytes more often than anybody can read them.
func TestLongWay(t *testing.T) {
	h := header("a", "1", "2", "x86_64", -1)
	b := ndb(append(slices.Clone(h), make([]byte, 1<<20)...))
	for at := 48; at < 4096; at += 16 {
		copy(b[at:], b[32:48])
	}
	if l, err := parseNDB(b); !errors.Is(err, ErrDamaged) {
		t.Errorf("parseNDB of a blob with many slots = %+v, %v, want ErrDamaged", l, err)
	}
	endless := header(strings.Repeat("a", 300), "1", "2", "noarch", -1)
	if p, _, err := parseHeader(endless); !errors.Is(err, ErrDamaged) {
		t.Errorf("parseHeader of a long name = %+v, %v, want ErrDamaged", p, err)
	}
}
