package console

import "testing"

func TestConsoles(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"tty0 ttyS0\n", "[/dev/tty1 /dev/ttyS0]"},
		{"ttyS1\n", "[/dev/ttyS1]"},
		{"tty0 tty1\n", "[/dev/tty1]"},
		{"", "[/dev/tty1]"},
	} {
		got := "["
		for i, p := range consoles(c.in) {
			if i > 0 {
				got += " "
			}
			got += p
		}
		if got += "]"; got != c.want {
			t.Errorf("consoles(%q) = %s, want %s", c.in, got, c.want)
		}
	}
}
