package restart

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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

// A restart stops the unit of this program before systemctl has heard that it began. That is not an error, unless it
// did not begin.
func TestRestartStopsUs(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	for _, c := range []struct{ name, job, want string }{
		{"it began", "echo 17", ""},
		{"it did not", "echo", "signal: terminated"},
		{"it did not, says a newer systemd", "echo 0", "signal: terminated"},
		{"systemd is gone", "exit 1", "signal: terminated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			script := "#!/bin/sh\ncase $1 in\nshow) " + c.job + ";;\n*) touch " + dir +
				"/started; while [ -e " + dir + "/started ]; do sleep 0.01; done; kill -TERM $$;;\nesac\n"
			if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			go func() {
				for started := filepath.Join(dir, "started"); ; time.Sleep(time.Millisecond) {
					if _, err := os.Stat(started); err == nil {
						stop()
						os.Remove(started)
						return
					}
				}
			}()
			err := Kexec(ctx)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("Kexec = %v, want %q", err, c.want)
			}
		})
	}
}
