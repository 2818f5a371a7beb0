package restart

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// systemd is asked for a target, which needs no logind, and what it says is in the error.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	asked := filepath.Join(dir, "asked")
	script := "#!/bin/sh\necho \"$@\" >" + asked + "\necho no such\necho target >&2\nexit $FAILS\n"
	if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	for target, restart := range map[string]func(context.Context) error{"reboot.target": Firmware,
		"kexec.target": Kexec} {
		t.Setenv("FAILS", "0")
		if err := restart(t.Context()); err != nil {
			t.Errorf("%s: %v", target, err)
		}
		want := "--no-ask-password --no-block --job-mode=replace-irreversibly start " + target + "\n"
		if b, err := os.ReadFile(asked); err != nil || string(b) != want {
			t.Errorf("systemctl was called with %q, %v, want %q", b, err, want)
		}
		t.Setenv("FAILS", "4")
		if err := restart(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "exit status 4: no such target") {
			t.Errorf("%s that is not there: %v", target, err)
		}
	}
}
