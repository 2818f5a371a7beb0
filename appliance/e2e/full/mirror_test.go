//go:build e2e

package full

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/e2etest"
)

// ofTwo is a layout with a mirror of two disks, by their serial numbers.
const ofTwo = "version: 1\nlayout: mirror\nmatch: {serial: %s}\nwith: {serial: %s}\n"

// TestMirror installs onto two disks, and takes the first one away: the machine starts from the second one. A blank
// disk then comes into the place of the first, as docs/INSTALLED.md says, and the second one goes: the machine starts
// from the new disk alone, with everything that was written before and meanwhile. Another disk with data is in the
// machine all the time.
func TestMirror(t *testing.T) {
	e2etest.Passes(t)
	s := open(t, e2e.Proxy)
	// For the EFI system partition of the new disk.
	if err := s.container.Install(t.Context(), "dosfstools"); err != nil {
		t.Fatal(err)
	}
	image := s.publish(t)
	onFirmwares(t, func(t *testing.T, f e2e.Firmware) { s.mirrors(t, f, image) })
}

// mirrored is a machine with a mirror.
type mirrored struct {
	*e2e.Machine
	t    *testing.T
	kept string // what the files are, see files
}

func (s *suite) mirrors(t *testing.T, f e2e.Firmware, image string) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*limit)
	defer cancel()
	disk := func(name string, size int64) e2e.Disk {
		t.Helper()
		serial := name + "-" + string(f)
		file, err := s.room.MakeDisk(serial, size)
		if err != nil {
			t.Fatal(err)
		}
		return e2e.Disk{File: file, Serial: serial}
	}
	first, second, fresh := disk("first", diskSize), disk("second", diskSize+300<<20), disk("fresh", diskSize)
	other, untouched := e2etest.OtherDisk(t, s.room, "other-"+string(f))
	machine, err := s.room.Machine(ctx, e2e.Hardware{Name: "mirror-" + string(f), Firmware: f,
		Disks: []e2e.Disk{first, second, other}})
	if err != nil {
		t.Fatal(err)
	}
	m := &mirrored{Machine: machine, t: t}
	s.orderMirror(ctx, m, image, first, second)
	on(ctx, t, machine)
	defer m.PowerCut()
	t.Logf("figure: %s: %v", t.Name(), s.watch(ctx, t, machine))
	e2etest.CheckJournal(t, s.site, machine)
	m.enters(ctx)
	m.writes(ctx, "whole")
	m.is(ctx, `^/dev/\S+ and /dev/\S+ have all data each$`)
	m.PowerCut()

	// Without the first disk. The server starts the other one.
	m.starts(ctx, "without the first disk", second, other)
	m.is(ctx, `^A DISK IS MISSING: all data is on /dev/\S+ only; `)
	m.writes(ctx, "alone")
	m.PowerCut()

	// With a new disk, by the firmware: what people wrote while a disk was missing is there too.
	m.DiskFirst = true
	m.starts(ctx, "with a blank disk", second, fresh, other)
	m.takes(ctx, fresh)
	m.writes(ctx, "again")
	m.PowerCut()

	// The new disk alone. The server has not heard of it.
	for _, m.DiskFirst = range []bool{true, false} {
		m.starts(ctx, fmt.Sprintf("from the new disk alone (disk first: %v)", m.DiskFirst), fresh, other)
		m.is(ctx, `^A DISK IS MISSING: all data is on /dev/\S+ only; `)
		m.PowerCut()
	}
	untouched()
}

// orderMirror orders the install of a mirror on two disks.
func (s *suite) orderMirror(ctx context.Context, m *mirrored, image string, first, second e2e.Disk) {
	m.t.Helper()
	layout := filepath.Join(m.t.TempDir(), "mirror.yaml")
	if err := os.WriteFile(layout, fmt.Appendf(nil, ofTwo, first.Serial, second.Serial), 0o600); err != nil {
		m.t.Fatal(err)
	}
	if err := s.site.Install(ctx, m.Machine, image, "--layout", layout, "--hostname", m.Name); err != nil {
		m.t.Fatal(err)
	}
}

// starts switches the machine on with these disks alone, and looks for all that was written.
func (m *mirrored) starts(ctx context.Context, how string, disks ...e2e.Disk) {
	m.t.Helper()
	m.Disks = disks
	on(ctx, m.t, m.Machine)
	at, err := m.WaitLogin(ctx)
	if err != nil {
		m.t.Fatalf("%s the machine does not start: %v", how, err)
	}
	m.t.Logf("figure: %s: %s: login prompt after %.1f s", m.t.Name(), how, at.Seconds())
	m.enters(ctx)
	if got := m.files(ctx); got != m.kept {
		m.t.Errorf("%s the machine has\n%s\nit had\n%s", how, got, m.kept)
	}
}

// enters logs in, and looks for units that failed.
func (m *mirrored) enters(ctx context.Context) {
	m.t.Helper()
	if err := m.Login(ctx); err != nil {
		m.t.Fatal(err)
	}
	if got := m.ask(ctx, "systemctl --failed --plain --no-legend"); got != "" {
		m.t.Errorf("on %s units failed: %s", m.Name, got)
	}
	if got := m.ask(ctx, "findmnt -no FSTYPE /; findmnt -no FSTYPE /home; findmnt -no FSTYPE /persistent"); got !=
		"btrfs\nbtrfs\nbtrfs" {
		m.t.Errorf("on %s there is %q", m.Name, got)
	}
}

func (m *mirrored) ask(ctx context.Context, command string) string {
	m.t.Helper()
	return e2etest.Shell(m.Run).Ask(ctx, m.t, command)
}

// files says who the machine is, and what people have on it.
func (m *mirrored) files(ctx context.Context) string {
	m.t.Helper()
	return m.ask(ctx, "cat /etc/hostname /etc/machine-id; sha256sum /home/*.work /persistent/*.work "+
		"/etc/ssh/ssh_host_*_key")
}

// writes has people write files.
func (m *mirrored) writes(ctx context.Context, name string) {
	m.t.Helper()
	m.ask(ctx, "for d in /home /persistent; do head -c 8000000 /dev/urandom >$d/"+name+".work; done; sync")
	m.kept = m.files(ctx)
}

// is compares what the machine says of its mirror, in two places, with a regular expression.
func (m *mirrored) is(ctx context.Context, want string) {
	m.t.Helper()
	got := m.ask(ctx, "griddle-agent mirror")
	if !regexp.MustCompile(want).MatchString(got) {
		m.t.Errorf("%s says of its mirror %q, want %q", m.Name, got, want)
	}
	if status := m.ask(ctx, "griddle-agent status"); !strings.Contains(status, "mirror       "+got+"\n") {
		m.t.Errorf("the status of %s is\n%s\nwithout %q", m.Name, status, got)
	}
	m.t.Logf("%s: %s\n%s", m.Name, got, m.ask(ctx, "btrfs filesystem show /"))
}

// takes has a new disk in for the one that is missing. Then both have everything, and no byte is wrong.
func (m *mirrored) takes(ctx context.Context, d e2e.Disk) {
	m.t.Helper()
	begun := time.Now()
	m.t.Logf("%s takes a disk in:\n%s", m.Name, m.ask(ctx, "griddle-agent mirror "+d.Serial))
	m.t.Logf("figure: %s: the new disk is in after %.1f s", m.t.Name(), time.Since(begun).Seconds())
	m.is(ctx, `^/dev/\S+ and /dev/\S+ have all data each$`)
	m.t.Logf("%s repairs:\n%s", m.Name, m.ask(ctx, "griddle-agent mirror --repair"))
	m.is(ctx, `^/dev/\S+ and /dev/\S+ have all data each$`)
	const reserve = "GlobalReserve, single" // of memory
	groups := 0
	for line := range strings.Lines(m.ask(ctx, "btrfs filesystem df /")) {
		if !strings.HasPrefix(line, reserve) {
			if groups++; !strings.Contains(line, ", RAID1: ") {
				m.t.Errorf("on %s there is %q, want RAID1", m.Name, strings.TrimSpace(line))
			}
		}
	}
	if groups != 3 {
		m.t.Errorf("on %s there are %d kinds of block groups, want data, metadata and system", m.Name, groups)
	}
	if got := m.ask(ctx, "btrfs scrub start -B / && echo passed"); !strings.Contains(got, "no errors found") ||
		!strings.HasSuffix(got, "passed") {
		m.t.Errorf("the scrub of %s says\n%s", m.Name, got)
	}
	if got := m.ask(ctx, "btrfs device stats / | grep -vc ' 0$'"); got != "0" {
		m.t.Errorf("on %s there are errors: %s", m.Name, m.ask(ctx, "btrfs device stats /"))
	}
}
