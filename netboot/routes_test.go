package netboot

import (
	"net/netip"
	"testing"
	"time"
)

var (
	testMAC   = [6]byte{0x52, 0x54, 0, 0x78, 0, 1}
	linkLocal = netip.MustParseAddr("fe80::5054:ff:fe78:1") // what testMAC makes of itself
)

func TestParseSolicitation(t *testing.T) {
	tests := []struct {
		name string
		in   string
		from netip.Addr
		want [6]byte
		ok   bool
	}{
		// Captured from snponly.efi of ipxe 1.0.0+git-20190125.
		{"iPXE", "\x85\x00\x00\x00\x00\x00\x00\x00\x01\x01\x52\x54\x00\x78\x00\x02", linkLocal,
			[6]byte{0x52, 0x54, 0, 0x78, 0, 2}, true},
		{"no option", "\x85\x00\x00\x00\x00\x00\x00\x00", linkLocal, testMAC, true},
		{"no option, random address", "\x85\x00\x00\x00\x00\x00\x00\x00",
			netip.MustParseAddr("fe80::1"), [6]byte{}, false},
		{"unspecified sender", "\x85\x00\x00\x00\x00\x00\x00\x00", netip.IPv6Unspecified(), [6]byte{}, false},
		{"global sender", "\x85\x00\x00\x00\x00\x00\x00\x00",
			netip.MustParseAddr("2001:db8::5054:ff:fe78:1"), [6]byte{}, false},
		{"option of length zero", "\x85\x00\x00\x00\x00\x00\x00\x00\x01\x00\x52\x54\x00\x78\x00\x02",
			linkLocal, [6]byte{}, false},
		{"option longer than the message", "\x85\x00\x00\x00\x00\x00\x00\x00\x01\x09\x52\x54\x00\x78\x00\x02",
			linkLocal, [6]byte{}, false},
		{"short", "\x85\x00", linkLocal, [6]byte{}, false},
		{"advertisement", "\x86\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
			linkLocal, [6]byte{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := parseSolicitation([]byte(tt.in), tt.from); got != tt.want || ok != tt.ok {
				t.Errorf("parseSolicitation = %x, %v, want %x, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestAdvertisement(t *testing.T) {
	b := advertisement(testMAC[:])
	if string(b) != "\x86"+string(make([]byte, 15))+"\x01\x01\x52\x54\x00\x78\x00\x01" {
		t.Errorf("advertisement = %x", b)
	}
	if namesRouter(b) {
		t.Error("our own advertisement names a router")
	}
	b[7] = 30
	if !namesRouter(b) {
		t.Error("a router with a lifetime of 30 s is not seen")
	}
}

func TestRoutes(t *testing.T) {
	now := time.Unix(1e9, 0)
	r := newRoutes()
	if r.solicited(testMAC, linkLocal, now) {
		t.Error("an unknown machine is answered")
	}
	if to, ok := r.booting(testMAC, now.Add(time.Second)); !ok || to != linkLocal {
		t.Errorf("the waiting solicitation is answered to %v, %v", to, ok)
	}
	if _, ok := r.booting(testMAC, now.Add(time.Second)); ok {
		t.Error("a solicitation is answered twice")
	}
	if !r.solicited(testMAC, linkLocal, now.Add(time.Minute)) {
		t.Error("a booting machine is not answered")
	}
	if r.solicited(testMAC, linkLocal, now.Add(62*time.Second)) {
		t.Error("a machine seen more than a minute ago is answered")
	}
	if _, ok := r.booting(testMAC, now.Add(2*time.Minute)); ok {
		t.Error("an old solicitation is answered")
	}
	if !r.routerHeard() || r.routerHeard() {
		t.Error("the router is news other than once")
	}
	if r.solicited(testMAC, linkLocal, now.Add(2*time.Minute)) {
		t.Error("a machine is answered although a router is there")
	}
	for i := range 3 * maxRemember {
		mac := [6]byte{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}
		r.booting(mac, now)
		r.solicited(mac, linkLocal, now.Add(2*time.Minute))
	}
	if len(r.boots) > maxRemember || len(r.waiting) > maxRemember {
		t.Errorf("%d and %d machines are remembered", len(r.boots), len(r.waiting))
	}
}

func FuzzSolicitation(f *testing.F) {
	f.Add([]byte("\x85\x00\x00\x00\x00\x00\x00\x00\x01\x01\x52\x54\x00\x78\x00\x02"))
	f.Add([]byte("\x86\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		parseSolicitation(b, linkLocal)
		namesRouter(b)
	})
}
