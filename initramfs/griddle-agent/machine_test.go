package main

import (
	"testing"
	"testing/fstest"
)

func TestFirmwareText(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"  ABC\x1b[2J 123 ", "ABC [2J 123"}, {"To Be Filled By O.E.M.", ""}, {"Default string", ""},
		{"PowerEdge R640", "PowerEdge R640"},
	} {
		if got := firmwareText(c.in); got != c.want {
			t.Errorf("firmwareText(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestProcValue(t *testing.T) {
	proc := fstest.MapFS{"cpuinfo": {Data: []byte("processor\t: 0\nmodel name\t: QEMU TCG: v2\nmodel name\t: other\n")}}
	if got, want := procValue(proc, "cpuinfo", "model name"), "QEMU TCG: v2"; got != want {
		t.Errorf("procValue = %q, want %q", got, want)
	}
	if got := procValue(proc, "absent", "x"); got != "" {
		t.Errorf("procValue of no file = %q, want nothing", got)
	}
}
