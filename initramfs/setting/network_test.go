package setting

import (
	"strings"
	"testing"
)

// Whatever an image has in its interfaces(5), our names are in no stanza afterwards, and no line is lost.
func FuzzCommented(f *testing.F) {
	f.Add("auto lo lan0\niface lan0 inet static\n\taddress 10.0.0.1\nallow-hotplug lan0\n")
	f.Add("iface lan0 inet dhcp \\\n x\nauto\n#iface lan0\n")
	f.Fuzz(func(t *testing.T, text string) {
		got := string(commented([]byte(text), map[string]bool{"lan0": true}))
		if strings.Count(got, "\n") != strings.Count(text, "\n") {
			t.Errorf("%q became %q", text, got)
		}
		if strings.HasPrefix(got, "iface lan0 ") || strings.HasPrefix(got, "auto lan0\n") {
			t.Errorf("%q became %q", text, got)
		}
	})
}
