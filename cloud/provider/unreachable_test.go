package provider

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"testing"
)

func TestUnreachableErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&url.Error{Op: "Post", URL: "https://x", Err: &net.OpError{Op: "dial", Err: errors.New("i/o timeout")}}, true},
		{fmt.Errorf("x: %w", &net.DNSError{Err: "no such host", Name: "x"}), true},
		{&net.OpError{Op: "proxyconnect", Err: &net.OpError{Op: "dial", Err: errors.New("refused")}}, true},
		{&net.OpError{Op: "read", Err: errors.New("connection reset")}, false},
		{io.ErrUnexpectedEOF, false},
		{nil, false},
	} {
		if got := Unreachable(c.err); got != c.want {
			t.Errorf("Unreachable(%v) = %v, want %v", c.err, got, c.want)
		}
	}
}
