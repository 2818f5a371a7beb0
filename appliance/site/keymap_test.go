package site

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"
)

// testKeymap has the tables numbered so, each filled with values that say where they stand.
func testKeymap(tables ...byte) []byte {
	b := append([]byte("bkeymap"), make([]byte, 256)...)
	for _, t := range tables {
		b[7+int(t)] = 1
		for key := range 128 {
			b = binary.LittleEndian.AppendUint16(b, uint16(t)<<8|uint16(key))
		}
	}
	return b
}

func TestParseKeymap(t *testing.T) {
	tables, err := ParseKeymap(testKeymap(0, 1, 127, 255))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []byte{0, 1, 127, 255} {
		if tables[i].Modifiers != want {
			t.Errorf("table %d is number %d, want %d", i, tables[i].Modifiers, want)
		}
		if got, want := tables[i].Keys[44], uint16(want)<<8|44; got != want {
			t.Errorf("key 44 of table %d = %#x, want %#x", i, got, want)
		}
	}
	full := make([]byte, 256)
	for i := range full {
		full[i] = byte(i)
	}
	if b := testKeymap(full...); len(b) != MaxKeymap {
		t.Errorf("all tables have %d bytes, want MaxKeymap, %d", len(b), MaxKeymap)
	} else if _, err := ParseKeymap(b); err != nil {
		t.Errorf("all tables: %v", err)
	}
}

func TestKeymapMistakes(t *testing.T) {
	good := testKeymap(0, 1)
	odd := bytes.Clone(good)
	odd[9] = 2
	for _, c := range []struct {
		name string
		in   []byte
		want string
	}{
		{"nothing", nil, "not a binary keymap"},
		{"text", []byte("keycode 44 = z\n" + strings.Repeat(" ", 600)), "not a binary keymap"},
		{"cut in the flags", good[:100], "cut off"},
		{"cut in a table", good[:len(good)-1], "511 bytes for 2 tables, want 512"},
		{"too long", append(bytes.Clone(good), 0), "513 bytes"},
		{"another flag", odd, "flag 2 is 2"},
		{"only shifted keys", testKeymap(1), "no table for keys without modifiers"},
	} {
		if _, err := ParseKeymap(c.in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: ParseKeymap = %v, want an error with %q", c.name, err, c.want)
		}
	}
}

func TestSiteWithKeymap(t *testing.T) {
	archive, err := Archive(testSite(), testKeymap(0))
	if err != nil {
		t.Fatal(err)
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(archive)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range records {
		names = append(names, r.Name)
	}
	if got, want := strings.Join(names, " "), "etc etc/griddle "+KeymapPath+" "+Path; got != want {
		t.Errorf("names = %q, want %q", got, want)
	}
	if _, err := Archive(testSite(), []byte("bkeymap")); err == nil {
		t.Error("half a keymap was packed")
	}
}

func FuzzParseKeymap(f *testing.F) {
	good := testKeymap(0, 4)
	for _, seed := range [][]byte{good, nil, good[:263], good[:300], []byte("bkeymap"), testKeymap()} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tables, err := ParseKeymap(b)
		if err != nil {
			return
		}
		if len(tables) == 0 || len(tables) > 256 || len(b) > MaxKeymap {
			t.Fatalf("%d bytes gave %d tables", len(b), len(tables))
		}
		for i := 1; i < len(tables); i++ {
			if tables[i].Modifiers <= tables[i-1].Modifiers {
				t.Fatal("tables out of order")
			}
		}
	})
}
