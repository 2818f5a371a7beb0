package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
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

func TestReason(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("asking: %w", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}),
			"connection refused"},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}, "no route to host"},
		{fmt.Errorf("asking: %w", context.DeadlineExceeded), "no answer in time"},
		{errors.New("something else"), "no answer"},
	} {
		if got := reason(c.err); got != c.want {
			t.Errorf("reason(%v) = %q, want %q", c.err, got, c.want)
		}
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
