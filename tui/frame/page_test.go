package frame

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func lines(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprint(" line ", i))
	}
	return out
}

// Room is shared so that each section has some of it; what is hidden is counted.
func TestRows(t *testing.T) {
	list := Section{Title: "list", List: true, Head: 1, Lines: lines(61)}
	text, keep := Section{Title: "text", Lines: lines(20)}, Section{Title: "keep", Keep: true, Lines: lines(4)}
	for _, c := range []struct {
		sections      []Section
		columns, rows int
		want          []int
	}{
		{[]Section{list, text}, 80, 24, []int{8, 9}},
		{[]Section{list, keep}, 80, 24, []int{13, 4}},
		{[]Section{text, keep}, 80, 60, []int{20, 4}},
		{[]Section{list, text, keep}, 40, 12, []int{1, 1, 3}},
		{[]Section{list, text, keep}, 40, 7, []int{1, 0, 2}}, // the list without its heading
		{[]Section{text, keep}, 160, 50, []int{39, 4}},
		{[]Section{text, list, keep}, 160, 120, []int{20, 86, 4}}, // the list gets what none needs
	} {
		got := NewTheme(Look{}).Rows(Page{Sections: c.sections}, c.columns, c.rows)
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%d sections in %dx%d show %v lines, want %v", len(c.sections), c.columns, c.rows, got, c.want)
		}
	}
}

// TestSigns: what is left out is said.
func TestSigns(t *testing.T) {
	th := NewTheme(Look{})
	p := Page{Title: strings.Repeat("title ", 20), Notice: strings.Repeat("notice ", 60), Sections: []Section{
		{Title: "one", Lines: lines(9)}, {Title: "two", Lines: lines(9), First: 3}, {Title: "three", Lines: lines(9)}}}
	small := th.Draw(p, 40, 8)
	for _, want := range []string{"ti..", "Tab 1 more", "1 of 9", "4 of 9", ".."} {
		if !strings.Contains(small, want) {
			t.Errorf("the frame has no %q:\n%s", want, small)
		}
	}
	if tiny := th.Draw(p, 10, 4); !strings.HasPrefix(tiny, "Too small:") {
		t.Errorf("a tiny frame is %q", tiny)
	}
	p.Sections[0].Columns = 60
	for _, want := range []string{"- one -", "- two -", "-+", "9 of 9"} {
		if large := th.Draw(p, 120, 30); want != "9 of 9" && !strings.Contains(large, want) {
			t.Errorf("the frame has no %q:\n%s", want, large)
		}
	}
}

// FuzzPage draws any text in frames of any size: Draw returns what it promises.
func FuzzPage(f *testing.F) {
	f.Add("title", "a line", uint8(80), uint8(24), uint8(3), true)
	f.Add("\xff漢", strings.Repeat("漢", 300), uint8(17), uint8(3), uint8(9), false)
	f.Fuzz(func(t *testing.T, title, text string, columns, rows, n uint8, lined bool) {
		title, text = Clean(title), Clean(text)
		th, w, h := NewTheme(Look{Lines: lined}), 1+int(columns), 1+int(rows)
		var all []Section
		for i := range int(n % 8) {
			all = append(all, Section{Title: title, Lines: Wrap(text, i, w), Keep: i%3 == 1, List: i%4 == 2,
				At: int(n), First: int(n), Columns: int(n), Head: i % 2})
		}
		drawn := th.Draw(Page{Title: title, Notice: text, Sections: all}, w, h)
		if got := strings.Split(drawn, "\n"); len(got) != h {
			t.Fatalf("%d rows, want %d", len(got), h)
		}
		for l := range strings.Lines(drawn) {
			if Cells(strings.TrimSuffix(l, "\n")) > w {
				t.Fatalf("%q is wider than %d", l, w)
			}
		}
	})
}
