package newroot

import (
	"context"
	"os"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/sysroot"
)

// A root that follows another one has the host keys that are carried over, and new ones if there are none.
func TestCarriedHostKeys(t *testing.T) {
	for carried, want := range map[string]int{"ssh_host_rsa_key": 1, "ssh_known_hosts": 7} {
		root, err := os.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		m := &making{Dir: sysroot.Dir{Root: root}}
		if err := m.Write("usr/sbin/sshd", nil, 0o755); err != nil {
			t.Fatal(err)
		}
		m.Machine.Hostname = "lab-7"
		m.Carry = func(context.Context, *os.Root) error { return m.Write("etc/ssh/"+carried, []byte("x"), 0o600) }
		if err := m.become(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := m.List("etc/ssh"); err != nil || len(got) != want {
			t.Errorf("with %s there are %v, %v", carried, got, err)
		}
	}
}

func TestHostname(t *testing.T) {
	macs := []string{"52:54:00:12:34:56"}
	for _, c := range []struct {
		serial string
		macs   []string
		want   string
	}{
		{"ABC-123", macs, "abc-123"},
		{"  5CD 1234/X  ", macs, "5cd-1234-x"},
		{"0012345", macs, "sn0012345"},
		{"", macs, "m525400123456"},
		{"To Be Filled By O.E.M.", macs, "m525400123456"},
		{"0000-0000", macs, "m525400123456"},
		{"\x1b[2J", macs, "2j"},
		{strings.Repeat("a", 100), macs, strings.Repeat("a", 60)},
		{"", nil, "griddle"},
		{"---", []string{"x"}, "griddle"},
	} {
		if got := Hostname(job.Identity{Serial: c.serial, MACs: c.macs}); got != c.want {
			t.Errorf("Hostname(%q, %v) = %q, want %q", c.serial, c.macs, got, c.want)
		}
	}
}
