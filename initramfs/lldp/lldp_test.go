package lldp

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"griddle/appliance/job"
)

// tlv is one TLV.
func tlv(kind int, value string) string {
	return string([]byte{byte(kind<<1 | len(value)>>8), byte(len(value))}) + value
}

// mandatory are the first three TLVs of a switch.
func mandatory(port string) string {
	return tlv(1, "\x04\x00\x1b\x54\xaa\x00\x01") + tlv(2, port) + tlv(3, "\x00\x78")
}

func TestParse(t *testing.T) {
	const end = "\x00\x00"
	bridge := tlv(7, "\x00\x14\x00\x04")
	for _, c := range []struct {
		name, frame string
		want        Frame
		wrong       string // in the error
	}{
		{"all", mandatory("\x05Gi1/0/7") + tlv(4, "lab 1, desk 7") + tlv(5, "core-1") + tlv(6, "IOS") + bridge +
			tlv(127, "\x00\x80\xc2\x01\x00\x01") + end + "padding",
			Frame{Neighbour: job.Neighbour{Switch: "core-1", Port: "Gi1/0/7", Description: "lab 1, desk 7"},
				Bridge: true, TTL: 2 * time.Minute, chassis: "00:1b:54:aa:00:01"}, ""},
		{"no name", mandatory("\x03\x00\x1b\x54\xaa\x00\x09") + end,
			Frame{Neighbour: job.Neighbour{Switch: "00:1b:54:aa:00:01", Port: "00:1b:54:aa:00:09"},
				TTL: 2 * time.Minute, chassis: "00:1b:54:aa:00:01"}, ""},
		{"addresses", tlv(1, "\x05\x01\x0a\x00\x00\x01") +
			tlv(2, "\x04\x02\xfe\x80"+strings.Repeat("\x00", 13)+"\x01") + tlv(3, "\x00\x00") + end,
			Frame{Neighbour: job.Neighbour{Switch: "10.0.0.1", Port: "fe80::1"}, chassis: "10.0.0.1"}, ""},
		{"a description that says nothing more", mandatory("\x05ge-0/0/1") + tlv(4, "ge-0/0/1") + tlv(5, "s\x00") + end,
			Frame{Neighbour: job.Neighbour{Switch: "s", Port: "ge-0/0/1"}, TTL: 2 * time.Minute,
				chassis: "00:1b:54:aa:00:01"}, ""},
		{"what is not text", mandatory("\x07\x01\x02") + tlv(5, "\x1b\x07") + end,
			Frame{Neighbour: job.Neighbour{Switch: "1b07", Port: "0102"}, TTL: 2 * time.Minute,
				chassis: "00:1b:54:aa:00:01"}, ""},
		{"nothing", "", Frame{}, "TLV 1 is cut"},
		{"no end", mandatory("\x05x"), Frame{}, "TLV 4 is cut"},
		{"cut", mandatory("\x05x") + "\x0a\x05abc", Frame{}, "TLV 4 has 3 bytes and should have 5"},
		{"order", tlv(2, "\x05x") + end, Frame{}, "TLV 1 has the type 2 and should have 1"},
		{"an early end", tlv(1, "\x07x") + end, Frame{}, "TLV 2 has the type 0 and should have 2"},
		{"twice", mandatory("\x05x") + tlv(2, "\x05y") + end, Frame{}, "TLV 4 is another one of the type 2"},
		{"empty IDs", tlv(1, "\x04") + end, Frame{}, "the chassis ID is empty"},
		{"no port", tlv(1, "\x07x") + tlv(2, "") + end, Frame{}, "the port ID is empty"},
		{"no time", tlv(1, "\x07x") + tlv(2, "\x07x") + tlv(3, "\x01") + end, Frame{}, "the time to live is cut"},
	} {
		got, err := Parse([]byte(c.frame))
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) || got != (Frame{}) {
				t.Errorf("%s: Parse() = %+v, %v, want the error %q", c.name, got, err, c.wrong)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s: Parse() = %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}

// FuzzParse reads any bytes: what comes of them is bounded, and people can read it.
func FuzzParse(f *testing.F) {
	f.Add([]byte(mandatory("\x05Gi1/0/7") + tlv(4, "desk\x1b[2J") + tlv(5, "core\xff") + tlv(7, "\x00\x04\x00\x04") +
		"\x00\x00"))
	f.Add([]byte(tlv(1, "\x05\x02") + tlv(2, "\x04\x01") + tlv(3, "\xff\xff") + "\x00\x00"))
	f.Add([]byte("\x02\x07\x04\x00\x1b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Parse(b)
		if err != nil {
			if got != (Frame{}) || !utf8.ValidString(err.Error()) {
				t.Errorf("Parse() = %+v, %v", got, err)
			}
			return
		}
		s := got.Neighbour.String()
		if s == "" || strings.ContainsAny(s, "\x1b\x07\n\r") || len(got.Neighbour.Switch) > 1024 ||
			got.TTL < 0 || got.TTL > 65535*time.Second {
			t.Errorf("Parse() = %+v: %q", got, s)
		}
	})
}

func TestHear(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	frame := func(name string, bridge bool, ttl time.Duration) Frame {
		return Frame{Neighbour: job.Neighbour{Switch: name}, chassis: name, Bridge: bridge, TTL: ttl}
	}
	var l Listener
	for _, step := range []struct {
		after time.Duration
		f     Frame
		want  string
	}{
		{0, frame("phone", false, time.Minute), "phone"},
		{time.Second, frame("other phone", false, time.Minute), "phone"},
		{2 * time.Second, frame("core-1", true, time.Minute), "core-1"},
		{3 * time.Second, frame("phone", false, time.Minute), "core-1"},
		{4 * time.Second, frame("core-2", true, time.Minute), "core-1"},
		{5 * time.Second, frame("core-2", true, 0), "core-1"},
		{6 * time.Second, frame("core-1", true, 0), ""},
		{7 * time.Second, frame("core-2", true, 10*time.Second), "core-2"},
		{18 * time.Second, frame("phone", false, time.Minute), "phone"},
	} {
		l.hear("52:54:00:00:00:01", step.f, now.Add(step.after))
		if got := l.at("52:54:00:00:00:01", now.Add(step.after)).Switch; got != step.want {
			t.Errorf("after %v it is %q, want %q", step.after, got, step.want)
		}
	}
	if n := l.at("52:54:00:00:00:01", now.Add(time.Hour)); n != (job.Neighbour{}) {
		t.Errorf("an hour later it is %+v", n)
	}
	if n := l.at("52:54:00:00:00:02", now); n != (job.Neighbour{}) {
		t.Errorf("another interface has %+v", n)
	}
}
