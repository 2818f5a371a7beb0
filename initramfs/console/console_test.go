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

func TestTerminfo(t *testing.T) {
	for path, want := range map[string]string{
		"/dev/tty1": "linux", "/dev/tty2": "linux", "/dev/tty10": "linux", "/dev/ttyS0": "vt220", "/dev/ttyS1": "vt220",
		"/dev/ttyAMA0": "vt220", "/dev/tty1x": "vt220", "/dev/tty": "vt220", "/dev/hvc0": "vt220", "": "vt220",
	} {
		if got := Term(path); got != want {
			t.Errorf("Term(%q) = %q, want %q", path, got, want)
		}
	}
}
