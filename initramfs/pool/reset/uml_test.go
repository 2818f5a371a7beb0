package reset_test

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/bless/unit"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/pool"
	resetunit "griddle/initramfs/pool/reset/unit"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/umltest"
)

// work is what people do in a system: they change it, and what is kept of it. It says how it was before.
const work = `[Unit]
Before=griddle-reset.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'ls /etc/mine /root/mine 2>/dev/null; echo "LOG $(cat /srv/log 2>/dev/null)."; \
  touch /etc/mine /root/mine; echo "$(cat /srv/log 2>/dev/null)x" >/srv/log; sync; echo WORK done'
StandardOutput=journal+console
`

// off ends the system when the next starts are prepared.
const off = `[Unit]
After=griddle-bless.service griddle-reset.service multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'while /bin/systemctl is-active -q griddle-reset.service; do sleep 0.2; done'
ExecStart=/bin/systemctl --no-block poweroff
`

// scan has a unit wait until the pool's device has its name.
const scan = "[Unit]\nRequires=scan.service\nAfter=scan.service\n"

// A real system, started by GRUB: the first start makes fresh roots; the next one is used and ends cleanly; two power
// cuts use up both roots; and the machine helps itself.
func TestSystem(t *testing.T) {
	const one = "one"
	m := umltest.New(t, 2<<30, one)
	m.Fill(t, func(top string) {
		root := umltest.Root(t, top, one)
		agent := filepath.Join(root.Name(), "usr/lib/griddle/griddle-agent")
		build := exec.Command("go", "build", "-ldflags=-s -w", "-o", agent, "griddle/initramfs/griddle-agent")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building the agent: %v: %s", err, out)
		}
		const dir = "etc/systemd/system/"
		files := map[string]string{dir + "work.service": work, dir + "test-off.service": off,
			dir + "griddle-reset.service.d/scan.conf":      scan,
			dir + "griddle-reset-base.service.d/scan.conf": scan,
			"etc/griddle/keep.d/site.list":                 "/srv/log\n", "boot/initrd.img-0": "an initrd",
			pool.BaseMarker: "system\n"}
		for file, text := range files {
			if err := root.Write(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(unit.Install(root), resetunit.Install(root),
			root.ReplaceLink("../work.service", dir+"multi-user.target.wants/work.service"),
			root.ReplaceLink("../test-off.service", dir+"multi-user.target.wants/test-off.service")); err != nil {
			t.Fatal(err)
		}
	})
	start := func(want, cut string, left bootenv.Env, says ...string) {
		t.Helper()
		root, console := m.Boot(t, cut)
		left.Good = one
		if e := m.Env(t); root != want || e != left {
			t.Fatalf("%s ran and left %+v, want %s and %+v; its console:\n%s", root, e, want, left, console)
		}
		for _, s := range says {
			if !strings.Contains(console, s) {
				t.Errorf("the console of %s does not say %q:\n%s", root, s, console)
			}
		}
		if strings.Contains(console, "/etc/mine") || strings.Contains(console, "/root/mine") {
			t.Errorf("%s is not fresh:\n%s", root, console)
		}
	}
	const restarts = "reboot: Restarting system"
	start("one", "", bootenv.Env{Fresh: 1, Spare: 2}, "no fresh system left", "The machine restarts.", restarts)
	start("one~1", "", bootenv.Env{Fresh: 4, Spare: 5}, "LOG .", "reboot: System halted") // 3 was made at first
	start("one~4", "WORK done", bootenv.Env{Fresh: 5}, "LOG x.")
	start("one~5", "WORK done", bootenv.Env{}, "LOG x.")
	start("one", "", bootenv.Env{Fresh: 6, Spare: 7}, "no fresh system left", restarts)
	// The latest root is the one that a power cut ended: what was synced of its list stays.
	start("one~6", "", bootenv.Env{Fresh: 9, Spare: 10}, "LOG xx.", "reboot: System halted")
	m.Fill(t, func(top string) {
		i, err := subvolume.Read(filepath.Join(top, "@roots", one))
		if err != nil || !i.ReadOnly {
			t.Errorf("the base is %+v, %v", i, err)
		}
		if log, err := umltest.Open(t, top, "one~9").Read("srv/log"); err != nil || string(log) != "xxx\n" {
			t.Errorf("/srv/log is %q, %v", log, err)
		}
	})
}
