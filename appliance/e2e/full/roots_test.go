//go:build e2e

package full

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/e2etest"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// roots is a layout whose systems are partitions of their own: an xfs, and an ext4.
const roots = `version: 1
disks:
  - id: main
    match: {size: largest}
    table: gpt
    partitions:
      - {id: bios, use: bios}
      - {id: esp, use: esp}
      - {id: root-a, use: root, size: 2500M, filesystem: xfs}
      - {id: root-b, use: root, size: 2500M}
      - {id: shared, use: persistent, size: rest}
`

// TestRoots installs into the first of two roots that are partitions. The machine gets another image while it runs, and
// tries it in the second one. Then a person goes back.
func TestRoots(t *testing.T) {
	e2etest.Passes(t)
	s := open(t, e2e.Proxy)
	next := s.release(t, "of roots")
	onFirmwares(t, func(t *testing.T, f e2e.Firmware) { s.roots(t, f, next) })
}

func (s *suite) roots(t *testing.T, f e2e.Firmware, next string) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	file, err := s.room.MakeDisk("roots-"+string(f), 8<<30)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.room.Machine(ctx, e2e.Hardware{Name: "roots-" + string(f), Firmware: f,
		Disks: []e2e.Disk{{File: file, Serial: "R" + string(f)}}})
	if err != nil {
		t.Fatal(err)
	}
	layout := filepath.Join(t.TempDir(), "roots.yaml")
	if err := os.WriteFile(layout, []byte(roots), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.site.Install(ctx, m, s.image, "--layout", layout, "--hostname", m.Name); err != nil {
		t.Fatal(err)
	}
	on(ctx, t, m)
	defer m.PowerCut()
	if _, err := s.site.WaitJournal(ctx, m, "its report from the installed system", func(e fleet.Entry) bool {
		return e2e.Deployed(e)
	}); err != nil {
		t.Fatal(err)
	}
	const state = "cat /etc/hostname /etc/machine-id; sha256sum /home/work /persistent/work /etc/ssh/ssh_host_*_key"
	runs := func(root, kind, image string) {
		t.Helper()
		if _, err := m.WaitLogin(ctx); err != nil {
			t.Fatal(err)
		}
		if err := m.Login(ctx); err != nil {
			t.Fatal(err)
		}
		got := e2etest.Shell(m.Run).Ask(ctx, t, "cat /usr/lib/griddle/root /usr/lib/griddle/image; "+
			"findmnt -no FSTYPE /; findmnt -no FSTYPE /home; findmnt -no FSTYPE /persistent; "+
			"systemctl --failed --plain --no-legend")
		if want := strings.Join([]string{root, image, kind, "ext4", "ext4"}, "\n"); got != want {
			t.Errorf("%s runs\n%s\nwant\n%s\nwithout failed units", m.Name, got, want)
		}
	}
	runs("root-a", "xfs", s.image)
	e2etest.CheckJournal(t, s.site, m)
	before := e2etest.Shell(m.Run).Ask(ctx, t, "for d in /home /persistent; do "+
		"head -c 300000 /dev/urandom >$d/work; done; "+state+"; sync")

	if err := s.site.Update(ctx, m, next); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ofJob(ctx, m, "the end of the update", e2e.InState(job.Done)); err != nil {
		t.Fatal(err)
	}
	runs("root-b", "ext4", next)
	if after := e2etest.Shell(m.Run).Ask(ctx, t, state); after != before {
		t.Errorf("%s has with %s\n%s\nit had\n%s", m.Name, next, after, before)
	}
	// A start after a power cut takes the root that proved itself.
	m.PowerCut()
	on(ctx, t, m)
	runs("root-b", "ext4", next)
	if _, err := m.Run(ctx, "griddle-agent rollback root-a --restart"); err != nil {
		t.Logf("the restart ended the shell: %v", err)
	}
	runs("root-a", "xfs", s.image)
}
