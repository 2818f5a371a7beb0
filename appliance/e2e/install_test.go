package e2e

import (
	"io"
	"net"
	"path/filepath"
	"testing"
)

// TestLogin logs in on a machine so slow that its first login ends before it asks for a password, and its second one
// before it gets that.
func TestLogin(t *testing.T) {
	near, far := net.Pipe()
	c, err := openConsole("slow", near, filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	m := &Machine{Hardware: Hardware{Name: "slow", Password: "lab"}, console: c}
	prompt := "\r\nDebian GNU/Linux 12 slow ttyS0\r\n\r\nslow login: "
	go func() {
		for _, step := range []struct{ say, want string }{
			{prompt, "root\r"},
			{"root\r\n\r\nLogin timed out after 60 seconds.\r\n" + prompt, "root\r"},
			{"root\r\nPassword: ", "lab\r"},
			{"\r\nLogin timed out after 60 seconds.\r\n" + prompt, "root\r"},
			{"root\r\nPassword: ", "lab\r"},
			{"\r\nLinux slow\r\nroot@slow:~# ", "dmesg -n 1\r"},
			{"dmesg -n 1\r\nroot@slow:~# ", ""},
		} {
			b := make([]byte, len(step.want))
			if _, err := io.WriteString(far, step.say); err != nil {
				t.Error(err)
			}
			if _, err := io.ReadFull(far, b); err != nil || string(b) != step.want {
				t.Errorf("the machine got %q, %v, want %q", b, err, step.want)
			}
		}
	}()
	if _, err := m.WaitLogin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	far.Close()
}
