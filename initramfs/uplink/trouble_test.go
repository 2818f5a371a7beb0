package uplink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
)

// Every sentence names what really happened.
func TestAddressTrouble(t *testing.T) {
	const mac = "52:54:00:00:00:01"
	wired, loose := NIC{Name: "enp1s0", MAC: mac, Carrier: true}, NIC{Name: "enp1s0", MAC: mac}
	noAnswer := fmt.Errorf("asking for an address on enp1s0: %w", nclient4.ErrNoResponse)
	both := func(detail, hint string) string { return detail + "|" + hint }
	for _, c := range []struct {
		name, got, want string
		not             []string
	}{
		{"no DHCP", both(addressTrouble(wired, noAnswer)), "no DHCP server answers", nil},
		{"no DHCP without a link", both(addressTrouble(loose, noAnswer)), "no link", []string{"DHCP server"}},
		{"DHCP says no", both(addressTrouble(wired, fmt.Errorf("asking: %w", &nclient4.ErrNak{}))),
			"refused the address", []string{"no DHCP server"}},
		{"address not set", both(addressTrouble(wired, errors.New("setting 10.0.0.2/24 on enp1s0: no such device"))),
			"no such device", []string{"DHCP server"}},
	} {
		if !strings.Contains(c.got, c.want) {
			t.Errorf("%s: %q, want %q in it", c.name, c.got, c.want)
		}
		for _, not := range c.not {
			if strings.Contains(c.got, not) {
				t.Errorf("%s: %q says %q, which is not so", c.name, c.got, not)
			}
		}
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
		if got := Reason(c.err); got != c.want {
			t.Errorf("Reason(%v) = %q, want %q", c.err, got, c.want)
		}
	}
}
