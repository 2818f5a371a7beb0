package tftp

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseRequest(t *testing.T) {
	for _, c := range []struct {
		name, packet string
		want         request
		err          error
	}{
		{"plain", "\x00\x01f\x00octet\x00", request{name: "f", mode: "octet"}, nil},
		{"no last zero", "\x00\x01f\x00octet", request{name: "f", mode: "octet"}, nil},
		{"write", "\x00\x02f\x00octet\x00", request{write: true, name: "f", mode: "octet"}, nil},
		{"capitals", "\x00\x01f\x00OCTET\x00BLKSIZE\x001408\x00TSize\x000\x00",
			request{name: "f", mode: "octet", block: 1408, size: true}, nil},
		{"every option", "\x00\x01f\x00octet\x00tsize\x000\x00blksize\x001468\x00windowsize\x004\x00timeout\x003\x00",
			request{name: "f", mode: "octet", block: 1468, window: 4, timeout: 3 * time.Second, size: true}, nil},
		{"bad values", "\x00\x01f\x00octet\x00blksize\x007\x00windowsize\x000\x00timeout\x00256\x00",
			request{name: "f", mode: "octet"}, nil},
		{"value missing", "\x00\x01f\x00octet\x00blksize\x00", request{name: "f", mode: "octet"}, nil},
		{"twice", "\x00\x01f\x00octet\x00blksize\x00600\x00blksize\x00700\x00",
			request{name: "f", mode: "octet", block: 600}, nil},
		{"unknown option", "\x00\x01f\x00octet\x00multicast\x00\x00blksize\x00600\x00",
			request{name: "f", mode: "octet", block: 600}, nil},
		{"slash", "\x00\x01/f\x00octet\x00", request{name: "f", mode: "octet"}, nil},
		{"two slashes", "\x00\x01//f\x00octet\x00", request{name: "f", mode: "octet"}, nil},
		{"dot", "\x00\x01./f\x00octet\x00", request{name: "f", mode: "octet"}, nil},
		{"backslash", "\x00\x01\\f\x00octet\x00", request{name: "f", mode: "octet"}, nil},
		{"backslashes within", "\x00\x01\\a\\\\b\x00octet\x00", request{name: "a/b", mode: "octet"}, nil},
		{"upwards", "\x00\x01../f\x00octet\x00", request{name: "../f", mode: "octet"}, nil},
		{"upwards from the root", "\x00\x01/../f\x00octet\x00", request{name: "f", mode: "octet"}, nil},
		{"no mode", "\x00\x01f\x00", request{}, errNoRequest},
		{"no name", "\x00\x01\x00octet\x00", request{}, errNoRequest},
		{"acknowledgement", "\x00\x04\x00\x01", request{}, errNoRequest},
		{"opcode of two bytes", "\x01\x01f\x00octet\x00", request{}, errNoRequest},
		{"empty", "", request{}, errNoRequest},
	} {
		got, err := parseRequest([]byte(c.packet))
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: parseRequest(%q) = %+v, %v, want %+v, %v", c.name, c.packet, got, err, c.want, c.err)
		}
	}
}

// Whatever a packet holds, values that are used are within their bounds.
func FuzzParseRequest(f *testing.F) {
	f.Add([]byte("\x00\x01//a\\b\x00OCTET\x00blksize\x001468\x00windowsize\x0064\x00timeout\x001\x00tsize\x000\x00"))
	f.Add([]byte("\x00\x01f\x00octet\x00blksize\x00" + strings.Repeat("9", 480)))
	f.Fuzz(func(t *testing.T, p []byte) {
		r, err := parseRequest(p)
		if err != nil {
			return
		}
		if strings.HasPrefix(r.name, "/") || strings.ContainsAny(r.name, "\x00\\") {
			t.Errorf("name %q", r.name)
		}
		if r.block != 0 && (r.block < 8 || r.block > 65464) || r.window < 0 || r.window > 65535 || r.timeout < 0 ||
			r.timeout > 255*time.Second {
			t.Errorf("options %+v", r)
		}
	})
}
