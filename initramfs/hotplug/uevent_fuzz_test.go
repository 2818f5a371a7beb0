package hotplug

import (
	"bytes"
	"testing"
)

// Whatever the kernel sends, only what is behind a name is its value.
func FuzzUevent(f *testing.F) {
	f.Add([]byte("add@/devices/x\x00ACTION=add\x00MODALIAS=pci:v1\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		action, alias := parseUevent(b)
		if action != "" && !bytes.Contains(b, []byte("ACTION="+action)) ||
			alias != "" && !bytes.Contains(b, []byte("MODALIAS="+alias)) {
			t.Errorf("%q has %q and %q", b, action, alias)
		}
	})
}
