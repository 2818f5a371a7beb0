package diskimage

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// TestConverted reads what qemu-img writes, in pieces of any size, with lines between that are something else.
func TestConverted(t *testing.T) {
	const said = "    (0.00/100%)\r    (12.50/100%)\rwarning: slow\r    (x/100%)\r    (300/100%)\r    (1/2%)\r" +
		"    (100.00/100%)\r    (100.00/100%)\n"
	want := []string{"converting 0 of 800", "converting 100 of 800", "converting 800 of 800"}
	for name, from := range map[string]io.Reader{
		"whole": strings.NewReader(said), "bytes": iotest.OneByteReader(strings.NewReader(said)),
		"half": iotest.HalfReader(strings.NewReader(said)),
	} {
		var got []string
		c := &converted{size: 800, progress: func(part string, done, total int64) {
			got = append(got, fmt.Sprintf("%s %d of %d", part, done, total))
		}}
		if n, err := io.Copy(c, from); err != nil || n != int64(len(said)) {
			t.Errorf("%s: Copy = %d, %v", name, n, err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	c := &converted{progress: func(string, int64, int64) {}}
	if _, err := c.Write(make([]byte, 1<<20)); err != nil || len(c.rest) > 64 {
		t.Errorf("of a line without end it keeps %d bytes, %v", len(c.rest), err)
	}
}
