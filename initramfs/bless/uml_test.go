package bless_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/initramfs/bless/health"
	"griddle/initramfs/bless/unit"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/umltest"
)

// off ends a system that has nothing more to do.
const off = `[Unit]
Requires=griddle-bless.service
After=griddle-bless.service multi-user.target graphical.target
[Service]
Type=oneshot
ExecStart=/bin/systemctl --no-block poweroff
`

// fillPool makes the root one, and others that differ from it in a file.
func fillPool(t *testing.T, top string, others map[string][2]string) {
	t.Helper()
	root := umltest.Root(t, top, "one")
	agent := filepath.Join(root.Name(), "usr/lib/griddle/griddle-agent")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", agent, "griddle/initramfs/griddle-agent")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the agent: %v: %s", err, out)
	}
	if err := unit.Install(root); err != nil {
		t.Fatal(err)
	}
	const dir = "etc/systemd/system/"
	for file, text := range map[string]string{"test-off.service": off,
		"griddle-deadline.service.d/short.conf": "[Service]\nEnvironment=DEADLINE=30s\n"} {
		if err := root.Write(dir+file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := root.ReplaceLink("../test-off.service", dir+"multi-user.target.wants/test-off.service"); err != nil {
		t.Fatal(err)
	}
	for name, file := range others {
		if err := subvolume.Snapshot(root.Name(), filepath.Join(top, "@roots"), name); err != nil {
			t.Fatal(err)
		}
		if err := umltest.Open(t, top, name).Write(file[0], []byte(file[1]), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// Real systems on trial: one works and is blessed; one fails its check and restarts; one comes up in emergency mode and
// is restarted by the deadline. The good one finds out, each time, and knows why.
func TestTrials(t *testing.T) {
	m := umltest.New(t, 2<<30, "one")
	m.Fill(t, func(top string) {
		fillPool(t, top, map[string][2]string{
			"two":   {health.ChecksDir + "/10-page", "#!/bin/sh\necho fine\n"},
			"three": {health.ChecksDir + "/20-page", "#!/bin/sh\necho the page is empty\nexit 3\n"},
			"four":  {"etc/fstab", umltest.Fstab + "LABEL=data /data ext4 x-systemd.device-timeout=1s 0 0\n"},
		})
	})
	const stops, restarts = "reboot: System halted", "reboot: Restarting system"
	start := func(root string, want bootenv.Env, said ...string) {
		t.Helper()
		ran, console := m.Start(t)
		if e := m.Env(t); ran != root || e != want {
			t.Fatalf("%s ran and left %+v, want %s and %+v; its console:\n%s", ran, e, root, want, console)
		}
		for _, s := range said {
			if !strings.Contains(console, s) {
				t.Errorf("the console of %s does not say %q:\n%s", root, s, console)
			}
		}
	}
	try := func(root, good string) { m.SetEnv(t, bootenv.Env{Good: good, Candidate: root, Tries: 1}) }

	try("two", "one")
	start("two", bootenv.Env{Good: "two"}, "all checks passed", "this is the good root now", stops)
	try("three", "two")
	start("three", bootenv.Env{Good: "two", Candidate: "three"}, "20-page failed: exit status 3: the page is empty",
		restarts)
	start("two", bootenv.Env{Good: "two"}, "a root failed, the one before runs again", stops)
	try("four", "two")
	start("four", bootenv.Env{Good: "two", Candidate: "four"}, "it is in emergency or rescue mode", restarts)
	start("two", bootenv.Env{Good: "two"}, stops)

	var got []history.Event
	m.Fill(t, func(top string) { got = readHistory(t, filepath.Join(top, "@persistent/griddle")) })
	for i := range got {
		got[i].Time = time.Time{}
		got[i].Lines = slices.DeleteFunc(got[i].Lines, func(l string) bool {
			return !strings.Contains(l, "data") &&
				!strings.Contains(l, "page")
		})
	}
	want := []history.Event{
		{Kind: history.Started, Root: "two"},
		{Kind: history.Blessed, Root: "two"},
		{Kind: history.Started, Root: "three"},
		{Kind: history.Failed, Root: "three", Reason: "the check /etc/griddle/health.d/20-page failed: exit status 3",
			Lines: []string{"the page is empty"}},
		{Kind: history.Started, Root: "four"},
		{Kind: history.Failed, Root: "four",
			Reason: "it did not pass its trial within 30s: it is in emergency or rescue mode",
			Lines: []string{`systemd: Timed out waiting for device dev-disk-by\x2dlabel-data.device - ` +
				`/dev/disk/by-label/data.`}},
	}
	same(t, got, want)
}
