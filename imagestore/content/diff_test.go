package content

import (
	"fmt"
	"strings"
	"testing"
)

func TestDiff(t *testing.T) {
	sum := func(c string) string { return strings.Repeat(c, 64) }
	manifest := func(lines ...string) *Manifest {
		t.Helper()
		text := "griddle-content 1\nd . 0755 0 0 1.000000000\n"
		for _, l := range lines {
			text += l + "\n"
		}
		m, err := Parse(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	file := func(path, c string, size int) string {
		return fmt.Sprintf("f %s 0644 0 0 1.000000000 size=%d sha256=%s", path, size, sum(c))
	}
	tests := []struct {
		name  string
		a, b  []string
		times bool
		want  []string
	}{
		{"equal", []string{file("a", "1", 3)}, []string{file("a", "1", 3)}, true, nil},
		{"added and removed", []string{file("a", "1", 3)}, []string{file("b", "2", 4)}, false,
			[]string{"removed a", "added b"}},
		{"content", []string{file("a", "1", 3)}, []string{file("a", "2", 3)}, false, []string{"changed a content"}},
		{"type", []string{file("a", "1", 3)}, []string{"l a 0777 0 0 1.000000000 to=b"}, false,
			[]string{"changed a type"}},
		{"target", []string{"l a 0777 0 0 1.000000000 to=b"}, []string{"l a 0777 0 0 1.000000000 to=c"}, false,
			[]string{"changed a target"}},
		{"device", []string{"c a 0600 0 0 1.000000000 dev=1:3"}, []string{"c a 0600 0 0 1.000000000 dev=1:4"}, false,
			[]string{"changed a device"}},
		{"mode, owner, xattrs", []string{"d a 0755 0 0 1.000000000"},
			[]string{"d a 0700 0 7 2.000000000 x:user.a=AA=="}, false, []string{"changed a mode owner xattrs"}},
		{"time alone", []string{"d a 0755 0 0 1.000000000"}, []string{"d a 0755 0 0 2.000000000"}, false, nil},
		{"time asked for", []string{"d a 0755 0 0 1.000000000"}, []string{"d a 0755 0 0 2.000000000"}, true,
			[]string{"changed a time"}},
		{"moved", []string{file("a", "1", 3), file("d", "1", 3)},
			[]string{file("b", "1", 3), "d x 0755 0 0 1.000000000", file("x/d", "1", 3)}, false,
			[]string{"moved b<a", "added x", "moved x/d<d"}},
		{"moved and changed", []string{file("a", "1", 3)},
			[]string{"f b 0600 0 0 1.000000000 size=3 sha256=" + sum("1")}, false, []string{"moved b<a mode"}},
		{"empty files do not move", []string{file("a", "1", 0)}, []string{file("b", "1", 0)}, false,
			[]string{"removed a", "added b"}},
		{"copied", []string{file("a", "1", 3)}, []string{file("a", "1", 3), file("b", "1", 3)}, false,
			[]string{"added b"}},
		{"a further name", []string{file("a", "1", 3), file("b", "1", 3)}, []string{file("a", "1", 3), "h b to=a"},
			false, []string{"changed a links", "changed b links"}},
		{"the first name gone", []string{file("a", "1", 3), "h b to=a", "h c to=a"},
			[]string{file("b", "1", 3), "h c to=b"}, false,
			[]string{"removed a", "changed b links", "changed c links"}},
		{"order", []string{"d a 0755 0 0 1.000000000", "d a.b 0755 0 0 1.000000000", file("a.b/x", "1", 1),
			file("a/x", "2", 1)}, []string{"d a 0755 0 0 1.000000000", file("a/y", "3", 1)}, false,
			[]string{"removed a.b", "removed a.b/x", "removed a/x", "added a/y"}},
	}
	for _, tt := range tests {
		var got []string
		for _, c := range Diff(manifest(tt.a...), manifest(tt.b...), tt.times) {
			s := c.Kind + " " + c.Path
			if c.From != "" {
				s += "<" + c.From
			}
			got = append(got, strings.Join(append([]string{s}, c.What...), " "))
			if (c.Old == nil) != (c.Kind == Added) || (c.New == nil) != (c.Kind == Removed) {
				t.Errorf("%s: %s has the entries %v and %v", tt.name, s, c.Old, c.New)
			}
		}
		if strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
			t.Errorf("%s: Diff is %q, want %q", tt.name, got, tt.want)
		}
	}
}
