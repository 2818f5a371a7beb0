package sysroot

import "testing"

func TestSetHostLine(t *testing.T) {
	for _, c := range []struct{ in, host, want string }{
		{"", "a", "127.0.0.1\tlocalhost\n127.0.1.1\ta\n"},
		{"127.0.0.1 localhost\n127.0.1.1 x\n127.0.1.1 y", "a.b.c", "127.0.0.1 localhost\n127.0.1.1\ta.b.c a\n"},
		{"::1 localhost", "a", "127.0.0.1\tlocalhost\n127.0.1.1\ta\n::1 localhost\n"},
	} {
		if got := string(SetHostLine([]byte(c.in), c.host)); got != c.want {
			t.Errorf("SetHostLine(%q, %q) = %q, want %q", c.in, c.host, got, c.want)
		}
	}
}

func TestCopyHostLine(t *testing.T) {
	const to = "127.0.0.1 localhost\n127.0.1.1 template\n"
	for _, c := range []struct{ from, want string }{
		{"127.0.1.1 a.b a  alias # mine\n127.0.1.1 second\n", "127.0.0.1 localhost\n127.0.1.1\ta.b a alias # mine\n"},
		{"127.0.1.1\n", "127.0.0.1 localhost\n127.0.1.1\tname\n"},
		{"", "127.0.0.1 localhost\n127.0.1.1\tname\n"},
	} {
		if got := string(CopyHostLine([]byte(c.from), []byte(to), "name")); got != c.want {
			t.Errorf("CopyHostLine(%q) = %q, want %q", c.from, got, c.want)
		}
	}
}
