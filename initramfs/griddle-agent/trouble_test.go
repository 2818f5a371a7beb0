package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"

	"griddle/appliance/job"
)

// Every sentence names what really happened.
func TestSentences(t *testing.T) {
	const mac = "52:54:00:00:00:01"
	wired, loose := nic{name: "enp1s0", mac: mac, carrier: true}, nic{name: "enp1s0", mac: mac}
	other := nic{name: "enp2s0", mac: "52:54:00:00:00:02", carrier: true}
	refused := fmt.Errorf("asking for web:1: %w", job.NewProblem(409, "machine has a job already"))
	unreachable := fmt.Errorf("asking for web:1: %w", syscall.ENETUNREACH)
	unknown := &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
	expired := &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}}
	noAnswer := fmt.Errorf("asking for an address on enp1s0: %w", nclient4.ErrNoResponse)
	both := func(detail, hint string) string { return detail + "|" + hint }
	for _, c := range []struct {
		name, got, want string
		not             []string
	}{
		{"link", lostLink([]nic{other, wired}, "enp1s0", mac), "", nil},
		{"no link", lostLink([]nic{other, loose}, "enp1s0", mac), "enp1s0 has no link", nil},
		{"adapter gone", lostLink([]nic{other}, "enp1s0", mac), "enp1s0 is gone", nil},
		{"choice refused", choiceTrouble(refused).Error(),
			"the server refused: asking for web:1: machine has a job already", []string{"changed"}},
		{"choice unanswered", choiceTrouble(unreachable).Error(), "did not answer (network is unreachable)",
			[]string{"changed", "refused"}},
		{"choice to another server", choiceTrouble(unknown).Error(), "could not prove its identity",
			[]string{"did not answer"}},
		{"hello refused", hintFor(refused, ""), "refused", []string{"griddle serve"}},
		{"hello without a link", hintFor(unreachable, "enp1s0 has no link."), "enp1s0 has no link",
			[]string{"griddle serve"}},
		{"hello unanswered", hintFor(unreachable, ""), "griddle serve", nil},
		{"hello to another server", hintFor(unknown, ""), "not signed by the CA", nil},
		{"hello at a wrong time", hintFor(expired, ""), "not valid at this machine's time", []string{"not signed"}},
		{"no DHCP", both(addressTrouble(wired, noAnswer)), "no DHCP server answers", nil},
		{"no DHCP without a link", both(addressTrouble(loose, noAnswer)), "no link", []string{"DHCP server"}},
		{"DHCP says no", both(addressTrouble(wired, fmt.Errorf("asking: %w", &nclient4.ErrNak{}))),
			"refused the address", []string{"no DHCP server"}},
		{"address not set", both(addressTrouble(wired, errors.New("setting 10.0.0.2/24 on enp1s0: no such device"))),
			"no such device", []string{"DHCP server"}},
		{"no site part", siteTrouble(fmt.Errorf("opening: %w", fs.ErrNotExist)), "without its site part", nil},
		{"damaged site part", siteTrouble(errors.New("invalid character")), "damaged", []string{"without"}},
	} {
		if c.want == "" && c.got != "" || !strings.Contains(c.got, c.want) {
			t.Errorf("%s: %q, want %q in it", c.name, c.got, c.want)
		}
		for _, not := range c.not {
			if strings.Contains(c.got, not) {
				t.Errorf("%s: %q says %q, which is not so", c.name, c.got, not)
			}
		}
	}
}

// A link that goes and comes is told once each time, and so is a server that does not answer.
func TestWatch(t *testing.T) {
	const mac = "52:54:00:00:00:01"
	up, down := []nic{{name: "e0", mac: mac, carrier: true}}, []nic{{name: "e0", mac: mac}}
	w := &watch{name: "e0", mac: mac, nics: []job.NIC{{Name: "e0", MAC: mac, Carrier: true, Address: "10.0.0.2/24"}}}
	for i, step := range []struct {
		list   []nic
		failed error
		news   bool
		down   bool
		lost   string
	}{
		{up, nil, false, false, ""},
		{down, nil, true, true, "e0 has no link"},
		{down, nil, false, true, ""},
		{up, nil, true, false, ""},
		{up, syscall.ECONNREFUSED, true, false, "the server does not answer (connection refused)"},
		{up, syscall.ECONNREFUSED, false, false, ""},
		{down, syscall.ECONNREFUSED, true, true, "e0 has no link"},
		{up, syscall.ECONNREFUSED, true, false, "the server does not answer"},
		{up, nil, true, false, ""},
		{nil, nil, true, true, "e0 is gone"},
		{up, job.NewProblem(503, "busy"), true, false, "the server refused: busy"},
	} {
		link, news := w.look(step.list, step.failed)
		if news != step.news || news &&
			(link.Down != step.down || !strings.Contains(link.Lost, step.lost) || step.lost == "" && link.Lost != "") {
			t.Errorf("step %d: %+v, %v, want news %v, down %v and %q", i, link, news, step.news, step.down, step.lost)
		}
		if news && (len(link.NICs) != 1 || link.NICs[0].Carrier == step.down || link.NICs[0].Address == "") {
			t.Errorf("step %d: interfaces %+v", i, link.NICs)
		}
	}
}

func TestLowMemory(t *testing.T) {
	for _, c := range []struct {
		total int64
		low   bool
	}{{0, false}, {380 << 20, true}, {399 << 20, true}, {400 << 20, false}, {8 << 30, false}} {
		if s, low := lowMemory(c.total); low != c.low || low && (s.Hint == "" || s.Detail == "") {
			t.Errorf("lowMemory(%d) = %+v, %v, want %v", c.total, s, low, c.low)
		}
	}
}
