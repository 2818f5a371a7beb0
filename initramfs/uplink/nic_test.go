package uplink

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestDriverless(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s + "\n")} }
	sys := fstest.MapFS{
		"bus/pci/devices/0000:00:01.0/class":       file("0x030000"),
		"bus/pci/devices/0000:00:02.0/class":       file("0x020000"),
		"bus/pci/devices/0000:00:02.0/driver/bind": file(""),
		"bus/pci/devices/0000:00:03.0/class":       file("0x020000"),
		"bus/pci/devices/0000:00:03.0/vendor":      file("0x10ec"),
		"bus/pci/devices/0000:00:03.0/device":      file("0x8168"),
		"bus/pci/devices/0000:00:04.0/class":       file("0x028000"),
		"bus/pci/devices/0000:00:04.0/vendor":      file("0x8086"),
		"bus/pci/devices/0000:00:04.0/device":      file("0x2723"),
	}
	if got, want := strings.Join(driverless(sys), " "), "10ec:8168 8086:2723"; got != want {
		t.Errorf("driverless = %q, want %q", got, want)
	}
	if got := driverless(fstest.MapFS{}); got != nil {
		t.Errorf("driverless without a PCI bus = %q, want none", got)
	}
}

func TestBootMAC(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"quiet griddle.mac=52:54:00:12:34:56 x\n", "52:54:00:12:34:56"},
		{"griddle.mac=52:54:00:AB:CD:EF", "52:54:00:ab:cd:ef"},
		{"BOOTIF=01-52-54-00-ab-cd-ef", "52:54:00:ab:cd:ef"},
		{"griddle.mac=nonsense BOOTIF=01-52-54-00-ab-cd-ef", "52:54:00:ab:cd:ef"},
		{"console=ttyS0", ""},
	} {
		if got := BootMAC(c.in); got != c.want {
			t.Errorf("BootMAC(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestOrder(t *testing.T) {
	list := []NIC{{Name: "eth0", MAC: "a"}, {Name: "eth1", MAC: "b", Carrier: true},
		{Name: "eth2", MAC: "c", Carrier: true}, {Name: "eth3", MAC: "d"}}
	order(list, "d")
	got := ""
	for _, n := range list {
		got += n.MAC
	}
	if want := "dbca"; got != want {
		t.Errorf("order = %s, want %s", got, want)
	}
}
