package main

import (
	"testing"
	"testing/fstest"
)

func TestBootMAC(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"quiet griddle.mac=52:54:00:12:34:56 x\n", "52:54:00:12:34:56"},
		{"griddle.mac=52:54:00:AB:CD:EF", "52:54:00:ab:cd:ef"},
		{"BOOTIF=01-52-54-00-ab-cd-ef", "52:54:00:ab:cd:ef"},
		{"griddle.mac=nonsense BOOTIF=01-52-54-00-ab-cd-ef", "52:54:00:ab:cd:ef"},
		{"console=ttyS0", ""},
	} {
		if got := bootMAC(c.in); got != c.want {
			t.Errorf("bootMAC(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestOrder(t *testing.T) {
	list := []nic{{name: "eth0", mac: "a"}, {name: "eth1", mac: "b", carrier: true},
		{name: "eth2", mac: "c", carrier: true}, {name: "eth3", mac: "d"}}
	order(list, "d")
	got := ""
	for _, n := range list {
		got += n.mac
	}
	if want := "dbca"; got != want {
		t.Errorf("order = %s, want %s", got, want)
	}
}

// A key that arrives in pieces must not be cut where its beginning is a key of its own.
func TestUnfinished(t *testing.T) {
	for _, c := range []struct {
		in   string
		want bool
	}{
		{"a", false}, {"\x1b", true}, {"\x1b[", true}, {"\x1b[1;5", true}, {"\x1b[A", false}, {"\x1b[11~", false},
		{"\x1bO", true}, {"\x1bOP", false}, {"\x1bx", false}, {"\x1b[A\x1b", true}, {"\x1b[Ax", false}, {"", false},
	} {
		if got := unfinished([]byte(c.in)); got != c.want {
			t.Errorf("unfinished(%q) = %t, want %t", c.in, got, c.want)
		}
	}
}

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
