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

	"griddle/appliance/job"
	"griddle/initramfs/uplink"
)

// Every sentence names what really happened.
func TestSentences(t *testing.T) {
	const mac = "52:54:00:00:00:01"
	wired, loose := uplink.NIC{Name: "enp1s0", MAC: mac, Carrier: true}, uplink.NIC{Name: "enp1s0", MAC: mac}
	other := uplink.NIC{Name: "enp2s0", MAC: "52:54:00:00:00:02", Carrier: true}
	refused := fmt.Errorf("asking for web:1: %w", job.NewProblem(409, "machine has a job already"))
	unreachable := fmt.Errorf("asking for web:1: %w", syscall.ENETUNREACH)
	unknown := &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
	expired := &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}}
	for _, c := range []struct {
		name, got, want string
		not             []string
	}{
		{"link", lostLink([]uplink.NIC{other, wired}, "enp1s0", mac), "", nil},
		{"no link", lostLink([]uplink.NIC{other, loose}, "enp1s0", mac), "enp1s0 has no link", nil},
		{"adapter gone", lostLink([]uplink.NIC{other}, "enp1s0", mac), "enp1s0 is gone", nil},
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
	up, down := []uplink.NIC{{Name: "e0", MAC: mac, Carrier: true}}, []uplink.NIC{{Name: "e0", MAC: mac}}
	w := &watch{name: "e0", mac: mac, nics: []job.NIC{{Name: "e0", MAC: mac, Carrier: true, Address: "10.0.0.2/24"}}}
	for i, step := range []struct {
		list   []uplink.NIC
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
