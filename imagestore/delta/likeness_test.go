package delta

import (
	"slices"
	"testing"

	"griddle/imagestore/content"
)

func TestForm(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"usr/lib/libssl.so.1.1", "usr/lib/libssl.so.#"},
		{"usr/lib/libssl.so.3", "usr/lib/libssl.so.#"},
		{"lib/modules/6.1.0-13-cloud-amd64/fs/ext4.ko", "lib/modules/#-cloud-amd#/fs/ext#.ko"},
		{"", ""},
		{"plain", "plain"},
		{"1", "#"},
		{"a1.b", "a#.b"},
		{"a-1-", "a-#-"},
	} {
		if got := form(c.in); got != c.want {
			t.Errorf("form(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestLikeness(t *testing.T) {
	file := func(path string, size int64) content.Entry {
		return content.Entry{Path: path, Type: content.Regular, Size: size}
	}
	l := NewLikeness(&content.Manifest{Entries: []content.Entry{
		{Path: ".", Type: content.Directory},
		file("boot/vmlinuz-6.1.0-1", 8<<20),
		file("doc/empty", 0),
		file("lib/a.so", 1000),
		file("lib/b.so", 5000),
		file("lib/libssl.so.1.1", 4000),
		{Path: "lib/hard", Type: content.HardLink, Target: "lib/b.so"},
		file("usr/share/name", 10),
	}})
	for _, c := range []struct {
		path string
		size int64
		want []string
	}{
		{"boot/vmlinuz-6.1.0-2", 9 << 20, []string{"boot/vmlinuz-6.1.0-1"}},
		{"lib/libssl.so.3", 5000, []string{"lib/libssl.so.1.1"}},
		{"lib/hard", 100, []string{"lib/b.so"}},
		{"lib/c.so", 4100, []string{"lib/b.so"}},
		{"lib/c.so", 90000, nil},
		{"opt/name", 10, []string{"usr/share/name"}},
		{"doc/empty", 5, nil},
		{"lib/b.so", 900, []string{"lib/b.so", "lib/a.so"}},
	} {
		var got []string
		for _, r := range l.find(&content.Entry{Path: c.path, Type: content.Regular, Size: c.size}) {
			got = append(got, r.Path)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("find(%s, %d bytes) = %v, want %v", c.path, c.size, got, c.want)
		}
	}
}

func TestNear(t *testing.T) {
	for _, c := range []struct {
		size, offset int64
		want         Range
	}{
		{100, 50, Range{"", 0, 100}},
		{window, 3 << 20, Range{"", 0, window}},
		{100 << 20, 0, Range{"", 0, window}},
		{100 << 20, 50 << 20, Range{"", 50<<20 - window*3/8, window}},
		{100 << 20, 500 << 20, Range{"", 100<<20 - window, window}},
	} {
		if got := near([]Range{{"", 0, c.size}}, c.offset); got[0] != c.want {
			t.Errorf("near(%d bytes, %d) = %v, want %v", c.size, c.offset, got[0], c.want)
		}
	}
}
