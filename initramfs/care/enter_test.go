package care

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/pool"
	"griddle/initramfs/pool/pooltest"

	"github.com/creack/pty"
)

// A shell in a root has its files and its /home, and what it leaves running ends with it.
func TestEnter(t *testing.T) {
	made := pooltest.Installed(t)
	root := filepath.Join(made.Top, "@roots/two@amd64")
	for _, dir := range []string{"home", "dev", "proc", "sys", "run", "bin"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"sh", "cat", "sleep", "hostname"} {
		pooltest.Tool(t, "cp", "/bin/busybox", filepath.Join(root, "bin", name))
	}
	p, err := pool.Open(pool.Place{Job: pooltest.Job, Pool: made.Device, ESP: made.ESP})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	s, err := p.System("two@amd64")
	if err != nil {
		t.Fatal(err)
	}
	screen, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	shown := make(chan string)
	go func() {
		var b bytes.Buffer
		_, _ = io.Copy(&b, screen) // until the terminal is closed
		shown <- b.String()
	}()
	const typed = "sleep 1000 &\nhostname\ncat /home/ada/notes\necho $TERM >/mark\nexit 3\n"
	if _, err := io.WriteString(screen, typed); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Enter(t.Context(), s, tty, "vt220"), tty.Close()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("what the shell started uses the root: %v", err)
	}
	screen.Close()
	if text := <-shown; !strings.Contains(text, "\ntwo\r") || !strings.Contains(text, "hers") {
		t.Errorf("the shell showed:\n%s", text)
	}
	if b, err := os.ReadFile(filepath.Join(root, "mark")); string(b) != "vt220\n" {
		t.Errorf("the shell left %q, %v", b, err)
	}
}
