package frame

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
)

// TestDistinct: two names that differ never look the same, and each fits.
func TestDistinct(t *testing.T) {
	long := strings.Repeat("x", 60)
	for _, names := range [][]string{
		{"S" + long + "1", "S" + long + "2"},
		{"1" + long, "2" + long},
		{long + "1" + long, long + "2" + long, long + "3" + long},
		{long, long + "x", long + "xx"},
		{"a\x01", "a", "a\x02", " a"},
		{strings.Repeat("x", 500) + "1", strings.Repeat("x", 500) + "2"}, // beyond what is ever drawn
		{long, "xxxxxxxxx..xxxxxxxxx"},
		{strings.Repeat("漢", 30) + "一", strings.Repeat("漢", 30) + "二"},
		{"", "-", "\x00"},
		{"a #1", "a\x01", "a\x02"},
		{"same", "same"},
	} {
		checkDistinct(t, names, 20)
	}
	for range 2000 {
		var names []string
		for range 2 + rand.IntN(8) {
			b := []rune(strings.Repeat([]string{"a", "web-", "漢", "é"}[rand.IntN(4)], 5+rand.IntN(40)))
			for range rand.IntN(3) {
				b[rand.IntN(len(b))] = []rune{'1', '2', '\x01', ' ', '\xff', '二'}[rand.IntN(6)]
			}
			names = append(names, string(b))
		}
		checkDistinct(t, names, 10+rand.IntN(40))
	}
}

func checkDistinct(t *testing.T, names []string, width int) {
	t.Helper()
	shown := Distinct(names, width)
	for i := range names {
		if w := ansi.StringWidth(shown[i]); w > width || w == 0 {
			t.Errorf("Distinct(%q, %d)[%d] = %q has %d cells", names, width, i, shown[i], w)
		}
		for j := range i {
			if (shown[i] == shown[j]) != (names[i] == names[j]) {
				t.Errorf("Distinct(%q, %d): %q and %q are %q and %q", names, width, names[j],
					names[i], shown[j], shown[i])
			}
		}
	}
}

func FuzzDistinct(f *testing.F) {
	f.Add("S1", "S2", "S3", 20)
	f.Add(strings.Repeat("x", 100)+"1", strings.Repeat("x", 100)+"2", "\xff", 12)
	f.Add("\xff", "\xfe", "", 10)
	f.Fuzz(func(t *testing.T, a, b, c string, width int) {
		checkDistinct(t, []string{a, b, c, a + b, b + c}, 10+int(uint(width)%70))
	})
}
