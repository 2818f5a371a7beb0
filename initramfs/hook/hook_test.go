package hook_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"griddle/appliance/job"
	"griddle/appliance/setting"
	"griddle/initramfs/chroot"
	"griddle/initramfs/chroot/chroottest"
	"griddle/initramfs/hook"
)

func TestMain(m *testing.M) {
	chroot.Inside()
	os.Exit(m.Run())
}

// system is a system with busybox and the hooks of its image, and what Run said.
type system struct {
	*testing.T
	dir    string
	events []string
	o      hook.Options
}

func newSystem(t *testing.T, image map[string]string) *system {
	t.Helper()
	s := &system{T: t, dir: t.TempDir()}
	chroottest.Busybox(t, s.dir)
	s.o.Event = func(l job.Level, text string) {
		if l == job.Warning {
			text = "WARNING " + text
		}
		s.events = append(s.events, text)
	}
	for name, script := range image {
		s.write(strings.TrimPrefix(hook.Dir, "/")+"/"+name, "#!/bin/sh\n"+script+"\n", 0o755)
	}
	return s
}

func (s *system) write(name, text string, mode os.FileMode) {
	s.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		s.Fatal(err)
	}
}

func (s *system) read(name string) string {
	b, _ := os.ReadFile(filepath.Join(s.dir, name))
	return string(b)
}

func (s *system) run(settings ...setting.Hook) error {
	s.Helper()
	s.events = nil
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		s.Fatal(err)
	}
	defer root.Close()
	return hook.Run(s.Context(), root, settings, s.o)
}

func script(name, lines string) setting.Hook {
	return setting.Hook{Name: name, Script: "#!/bin/sh\n" + lines + "\n"}
}

// The image's hooks come first, by name; those of the settings in their order. Each has its variables and nothing else.
func TestOrder(t *testing.T) {
	s := newSystem(t, map[string]string{"20-second": "echo 20 $1 >>/log", "10-first": "echo 10 $1 >>/log",
		"30-old~": "echo never >>/log", ".31-hidden": "echo never >>/log", "40-off": "echo never >>/log"})
	if err := os.Chmod(filepath.Join(s.dir, hook.Dir, "40-off"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.write("etc/griddle/deploy.d/dir/50-inner", "", 0o755)
	s.o.Machine = hook.Machine{Name: "lab-07", Hostname: "web-7", Image: "web:1@amd64", Disk: "/dev/sda",
		Firmware: "uefi", MAC: "52:54:00:12:34:56", Serial: "5XK\x002\n\x1b[2J", UUID: "1b4e28ba", Job: "5b2f0a4e"}
	err := s.run(script("z-last-by-name", "echo z $1 >>/log; hostname >>/log"),
		script("a-first-by-name", "env | grep GRIDDLE_ | sort >>/log; echo $0 >>/log; echo told"))
	if err != nil {
		t.Fatal(err)
	}
	want := "10 /\n20 /\nz /\nweb-7\nGRIDDLE_DISK=/dev/sda\nGRIDDLE_FIRMWARE=uefi\nGRIDDLE_HOSTNAME=web-7\n" +
		"GRIDDLE_IMAGE=web:1@amd64\nGRIDDLE_JOB=5b2f0a4e\nGRIDDLE_MAC=52:54:00:12:34:56\nGRIDDLE_MACHINE=lab-07\n" +
		"GRIDDLE_ROOT=/\nGRIDDLE_SERIAL=5XK 2 [2J\nGRIDDLE_UUID=1b4e28ba\n/run/griddle/a-first-by-name\n"
	if got := s.read("log"); got != want {
		t.Errorf("the hooks wrote\n%s\nwant\n%s", got, want)
	}
	if want := []string{"hook 40-off of the image is skipped: it is not executable", "hook 10-first of the image runs",
		"hook 20-second of the image runs", "hook z-last-by-name of the settings runs",
		"hook a-first-by-name of the settings runs", "a-first-by-name: told"}; !slices.Equal(s.events, want) {
		t.Errorf("events are %q, want %q", s.events, want)
	}
	if _, err := os.Lstat(filepath.Join(s.dir, "run/griddle")); err == nil {
		t.Error("/run/griddle is on the disk")
	}
}

// A file's name is bytes from the image, and symlinks lead where they lead in the started system.
func TestHostileNames(t *testing.T) {
	image := map[string]string{}
	for _, name := range []string{"-rf", "$(touch bad)", "a b", "\x1b[2J\n", "\xff\xfe", strings.Repeat("x", 255),
		"; touch bad"} {
		image[name] = "echo ran >>/log"
	}
	s := newSystem(t, image)
	s.write("opt/tool", "#!/bin/sh\necho linked >>/log\n", 0o755)
	for name, target := range map[string]string{"y-absolute": "/opt/tool", "y-relative": "../../../opt/tool",
		"y-above": "../../../../../../../../../opt/tool"} {
		if err := os.Symlink(target, filepath.Join(s.dir, hook.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat("ran\n", 7) + strings.Repeat("linked\n", 3); len(s.read("log")) != len(want) {
		t.Errorf("the hooks wrote %q", s.read("log"))
	}
	if found, _ := filepath.Glob(filepath.Join(s.dir, "*bad*")); len(found) > 0 {
		t.Errorf("a name was run as a command: %q", found)
	}
	for _, e := range s.events {
		if !utf8.ValidString(e) || strings.ContainsAny(e, "\x1b\n") || len(e) > 500 {
			t.Errorf("event %q is not safe to show", e)
		}
	}
	if err := os.Symlink("/etc/nothing", filepath.Join(s.dir, hook.Dir, "z-dangling")); err != nil {
		t.Fatal(err)
	}
	if err := s.run(); err == nil || !strings.Contains(err.Error(), `"/etc/griddle/deploy.d/z-dangling"`) {
		t.Errorf("Run with a symlink to nothing = %v", err)
	}
}

// Without a person a failure ends the run, and later hooks do not start; a hook that says skip is skipped.
func TestNoPerson(t *testing.T) {
	for _, c := range []struct {
		name, lines string
		limit       time.Duration
		kind        chroot.Kind
		want        string
	}{
		{"status", "echo out; echo why >&2; exit 3", 0, chroot.Exited, "it ended with exit status 3: why"},
		{"signal", "kill -KILL $$", 0, chroot.Killed, "it was ended by a signal: killed"},
		{"hang", "trap '' TERM INT HUP; " +
			"setsid sh -c 'sleep 61.4' & while :; do sleep 61.4; done", 300 * time.Millisecond,
			chroot.TimedOut, "it took longer than 300ms and was killed"},
	} {
		s := newSystem(t, map[string]string{"10-ok": "echo 10 >>/log"})
		failing := script(c.name, c.lines)
		failing.Timeout = setting.Duration(c.limit)
		last := script("last", "echo last >>/log")
		err := s.run(failing, last)
		want := "the hook failed: hook " + c.name + " of the settings: " + c.want
		if !errors.Is(err, hook.ErrFailed) || err.Error() != want {
			t.Errorf("Run = %v, want %s", err, want)
		}
		if got := s.read("log"); got != "10\n" {
			t.Errorf("after %s, the hooks wrote %q", c.name, got)
		}
		failing.Skip = true
		if err := s.run(failing, last); err != nil || s.read("log") != "10\n10\nlast\n" {
			t.Errorf("Run with skip = %v, the hooks wrote %q", err, s.read("log"))
		}
		reason, _, _ := strings.Cut(c.want, ": why")
		if w := "WARNING hook " + c.name + " of the settings is skipped: " + reason; !slices.Contains(s.events, w) {
			t.Errorf("events are %q, want %q", s.events, w)
		}
	}
	s := newSystem(t, nil)
	s.write("etc/griddle/deploy.d/10-python", "#!/usr/bin/python3\n", 0o755)
	want := "the hook failed: hook 10-python of the image: it cannot be started: " +
		"the system does not have its interpreter /usr/bin/python3"
	if err := s.run(); !errors.Is(err, hook.ErrFailed) || err.Error() != want {
		t.Errorf("Run = %v, want %s", err, want)
	}
}

// Much output is a bounded number of events, for one hook and for all.
func TestMuchOutput(t *testing.T) {
	s := newSystem(t, map[string]string{"10-loud": "yes 0123456789 | head -c 20000000"})
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
	if n := len(s.events); n != hook.MaxLines+2 || s.events[n-1] != "10-loud: (1817982 more lines are not shown)" {
		t.Errorf("there are %d events, the last is %q", n, s.events[n-1])
	}
	var many []setting.Hook
	for range 20 {
		many = append(many, script("again", "yes 0123456789 | head -c 11000"))
	}
	if err := s.run(many...); err != nil || len(s.events) > hook.MaxTotal+3*21 {
		t.Errorf("there are %d events, %v", len(s.events), err)
	}
	if last := s.events[len(s.events)-1]; !strings.Contains(last, "its output is not shown: the hooks have printed 1") {
		t.Errorf("the last event is %q", last)
	}
}

// The end of the job ends a hook.
func TestCancel(t *testing.T) {
	s := newSystem(t, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	s.o.Event = func(_ job.Level, text string) {
		if strings.HasSuffix(text, "ready") {
			cancel(errors.New("an operator ended the job"))
		}
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	err = hook.Run(ctx, root, []setting.Hook{script("slow", "echo ready; sleep 100")}, s.o)
	if err == nil || !strings.Contains(err.Error(), "an operator ended the job") || errors.Is(err, hook.ErrFailed) {
		t.Errorf("Run = %v", err)
	}
}
