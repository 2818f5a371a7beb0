package bless_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/initramfs/bless"
	"griddle/initramfs/bless/health"
)

// put writes a file of the system.
func put(t *testing.T, o bless.Options, name, text string, mode os.FileMode) {
	t.Helper()
	file := filepath.Join(o.Root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), mode)); err != nil {
		t.Fatal(err)
	}
}

// tools replaces systemctl and journalctl by scripts that answer with text.
func tools(t *testing.T, systemctl, journalctl string) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range map[string]string{"systemctl": systemctl, "journalctl": journalctl} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
}

// Checks run in the order of their names. The first one that fails is the reason.
func TestChecks(t *testing.T) {
	tools(t, "", "")
	p := newPool(t, "two")
	o := p.options(t, true)
	if err := bless.Health(t.Context(), o); err != nil {
		t.Errorf("Health without a check = %v", err)
	}
	ran := filepath.Join(t.TempDir(), "ran")
	for name, mode := range map[string]os.FileMode{"10-a": 0o755, "20-off": 0o644, "30-copy~": 0o755, ".hidden": 0o755,
		"40-b": 0o700} {
		put(t, o, health.ChecksDir+"/"+name, "#!/bin/sh\necho ${0##*/} >>"+ran+"\n", mode)
	}
	if err := bless.Health(t.Context(), o); err != nil {
		t.Errorf("Health = %v", err)
	}
	if s := p.trial(t); s != "" {
		t.Errorf("a trial is written: %s", s)
	}
	put(t, o, health.ChecksDir+"/35-fails", "#!/bin/sh\nseq 1 30\necho 'no page' >&2\nexit 7\n", 0o755)
	err := bless.Health(t.Context(), o)
	var f *bless.Fault
	if !errors.As(err, &f) {
		t.Fatalf("Health = %v, want a fault", err)
	}
	check := filepath.Join(o.Root, health.ChecksDir, "35-fails")
	if f.Reason != "the check "+check+" failed: exit status 7" ||
		!slices.Equal(f.Lines, []string{"24", "25", "26", "27", "28", "29", "30", "no page"}) {
		t.Errorf("the fault is %q with %q", f.Reason, f.Lines)
	}
	if b, _ := os.ReadFile(ran); string(b) != "10-a\n40-b\n10-a\n" {
		t.Errorf("these checks ran: %q", b)
	}
	var got bless.Trial
	if err := json.Unmarshal([]byte(p.trial(t)), &got); err != nil || got.Root != "two" || got.Image != "image-2" ||
		got.Boot != "boot-1" || got.Fault.Reason != f.Reason || time.Since(got.Began) > time.Minute {
		t.Errorf("the trial is %+v, %v", got, err)
	}
	// The first fault of a boot is the reason; one of an earlier boot is not.
	put(t, o, health.ChecksDir+"/05-late", "#!/bin/sh\nexit 1\n", 0o755)
	if err := bless.Health(t.Context(), o); err == nil || !strings.Contains(p.trial(t), "35-fails") {
		t.Errorf("Health = %v, the trial is %s", err, p.trial(t))
	}
	o.Started.Boot = "boot-2"
	if err := bless.Health(t.Context(), o); err == nil || !strings.Contains(p.trial(t), "05-late") {
		t.Errorf("Health = %v, the trial is %s", err, p.trial(t))
	}
}

// A check that cannot run, or that leaves a program behind, does not hold up anything.
func TestOddChecks(t *testing.T) {
	tools(t, "", "")
	for name, c := range map[string]struct{ script, want string }{
		"no interpreter": {"#!/nothing\n", "no such file or directory"},
		"killed":         {"#!/bin/sh\nkill -9 $$\n", "signal: killed"},
		"background":     {"#!/bin/sh\nsleep 30 &\nexit 0\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := newPool(t, "two").options(t, false)
			put(t, o, health.ChecksDir+"/10-odd", c.script, 0o755)
			err := bless.Health(t.Context(), o)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("Health = %v, want %q", err, c.want)
			}
		})
	}
	o := newPool(t, "two").options(t, false)
	if err := errors.Join(os.MkdirAll(filepath.Join(o.Root, health.ChecksDir), 0o755),
		os.Symlink("/nothing", filepath.Join(o.Root, health.ChecksDir, "10-gone"))); err != nil {
		t.Fatal(err)
	}
	if err := bless.Health(t.Context(), o); err == nil || !strings.Contains(err.Error(), "10-gone cannot be read") {
		t.Errorf("Health with a link to nothing = %v", err)
	}
}

// A system that is stopped during its checks did not fail.
func TestHealthIsStopped(t *testing.T) {
	p := newPool(t, "two")
	o := p.options(t, true)
	put(t, o, health.ChecksDir+"/10-long", "#!/bin/sh\nsleep 30\n", 0o755)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := bless.Health(ctx, o); err != nil || p.trial(t) != "" {
		t.Errorf("Health = %v, the trial is %q", err, p.trial(t))
	}
}

// The server has to answer if it did before, or if the site says so.
func TestServer(t *testing.T) {
	tools(t, "", "")
	for _, c := range []struct {
		name, config string
		reached      bool
		want         string
	}{
		{"never reached", "", false, ""},
		{"reached before", "", true, "the server was not reached: the server was asked"},
		{"required", `{"server":"required"}`, false, "the server was not reached: the server was asked"},
		{"optional", `{"server":"optional"}`, true, ""},
		{"empty", `{}`, true, "the server was not reached"},
		{"another word", `{"server":"maybe"}`, false, `server is "maybe", and must be "required" or "optional"`},
		{"not JSON", `server: required`, false, "invalid character"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPool(t, "two")
			o := p.options(t, true)
			o.Reached = c.reached
			ctx, cancel := context.WithCancel(t.Context())
			tries := 0
			server := o.Server
			o.Server = func(ctx context.Context) error {
				if tries++; tries == 3 {
					ctx, stop := context.WithTimeout(ctx, 0)
					defer stop()
					return errors.Join(server(ctx), ctx.Err())
				}
				return server(ctx)
			}
			o.Wait = func(ctx context.Context, d time.Duration) {
				end, _ := ctx.Deadline()
				if left := time.Until(end); left > 7*time.Minute || left < 6*time.Minute {
					t.Errorf("the wait for the server ends at %v", end)
				}
				if tries == 3 {
					cancel()
				}
			}
			if c.config != "" {
				put(t, o, health.ConfigFile, c.config, 0o644)
			}
			err := bless.Health(ctx, o)
			if tries > 0 {
				if err != nil || tries != 4 {
					t.Errorf("Health = %v after %d tries", err, tries)
				}
				return
			}
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("Health = %v, want %q", err, c.want)
			}
		})
	}
}
