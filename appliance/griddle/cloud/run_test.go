package cloud

import (
	"bytes"
	"strings"
	"sync"
	"testing"
)

// TestPrefixed writes in pieces, from several servers at once, lines that end and one that does not, and one without
// end.
func TestPrefixed(t *testing.T) {
	var out bytes.Buffer
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b"} {
		wg.Go(func() {
			p := prefixed{to: &out, prefix: name + ": ", mu: &mu}
			for _, piece := range []string{"o", "ne\r\n", "\ntwo\nthr", "ee", strings.Repeat("x", maxLine)} {
				if n, err := p.Write([]byte(piece)); n != len(piece) || err != nil {
					t.Errorf("Write = %d, %v", n, err)
				}
			}
			if err := p.end(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, name := range []string{"a", "b"} {
		want := []string{"one", "", "two", "three" + strings.Repeat("x", maxLine-5), "xxxxx"}
		for line := range strings.Lines(out.String()) {
			if text, mine := strings.CutPrefix(line, name+": "); mine {
				if len(want) == 0 || text != want[0]+"\n" {
					t.Fatalf("%s wrote %.80q, want %.80q", name, text, want)
				}
				want = want[1:]
			}
		}
		if len(want) > 0 {
			t.Errorf("%s did not write %.80q", name, want)
		}
	}
}
