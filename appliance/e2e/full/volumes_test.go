//go:build e2e

package full

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/e2etest"
	"griddle/appliance/fleet"
)

// onVolumes is a layout with /home on an array of two disks, and a volume group on another one and on a partition.
const onVolumes = `version: 1
disks:
  - id: a
    match: {serial: volumes-a}
    partitions:
      - {id: bios, use: bios}
      - {id: esp, use: esp}
      - {id: pool, use: pool, size: 3G}
      - {id: home-a, use: raid, size: 300M}
      - {id: md-a, use: raid, size: rest}
  - id: b
    match: {serial: volumes-b}
    partitions:
      - {id: home-b, use: raid, size: 300M}
      - {id: md-b, use: raid, size: 300M}
      - {id: pv, use: lvm, size: rest}
raid:
  - {id: home, level: 1, devices: [home-a, home-b], use: home}
  - {id: md, level: 1, devices: [md-a, md-b], use: lvm}
lvm_volgroup:
  - id: vg0
    devices: [md, pv]
    lvm_partitions:
      - {id: srv, size: 60%, use: data, filesystem: xfs, mount: /srv}
      - {id: swap, size: rest, use: swap}
`

// TestVolumes installs onto arrays and a volume group of two disks, beside a disk of someone else. The system mounts
// all of it, also after a second install into its pool, which keeps what is in them.
func TestVolumes(t *testing.T) {
	e2etest.Passes(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*limit)
	defer cancel()
	s := openWith(t, (*e2e.Room).VolumesContainer)
	s.image = s.publish(t)
	s.startWith(t, checkIns)
	hardware := e2e.Hardware{Name: "volumes", Firmware: e2e.BIOS}
	for i, name := range []string{"volumes-a", "volumes-b"} {
		file, err := s.room.MakeDisk(name, []int64{4 << 30, 2 << 30}[i])
		if err != nil {
			t.Fatal(err)
		}
		hardware.Disks = append(hardware.Disks, e2e.Disk{File: file, Serial: name})
	}
	other, untouched := e2etest.OtherDisk(t, s.room, "volumes-c")
	hardware.Disks = append(hardware.Disks, other)
	m, err := s.room.Machine(ctx, hardware)
	if err != nil {
		t.Fatal(err)
	}
	file, hash := s.planned(ctx, t, m, onVolumes)
	s.installs(ctx, t, m, "--layout", file, "--plan", hash)
	ask := func(what string) string { return e2etest.Shell(m.Run).Ask(ctx, t, what) }
	const mounted = `findmnt -no SOURCE,FSTYPE /home; findmnt -no SOURCE,FSTYPE /srv; swapon --noheadings ` +
		`--show=TYPE; systemctl --failed --plain --no-legend`
	got := strings.Join(strings.Fields(ask(mounted)), " ")
	if !regexp.MustCompile(`^/dev/md[0-9]+ ext4 /dev/mapper/vg0-srv xfs partition$`).MatchString(got) {
		t.Errorf("the system has %q", got)
	}
	e2etest.CheckJournal(t, s.site, m)
	ask("echo mine >/home/mine; echo ours >/srv/ours; sync")
	m.PowerCut()

	// Into the pool, which stays; the agent starts the array for that.
	if err := errors.Join(os.Remove(file), os.WriteFile(file, []byte(
		"version: 1\nlayout: keep-pool\nmatch: {serial: volumes-a}\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s.installs(ctx, t, m, "--layout", file)
	if got := ask("cat /home/mine /srv/ours; grep -c active /proc/mdstat"); got != "mine\nours\n2" {
		t.Errorf("after a second install the system has %q", got)
	}
	m.PowerCut()
	untouched()
}

// installs orders an install and waits until its system runs and someone has logged in.
func (s *suite) installs(ctx context.Context, t *testing.T, m *e2e.Machine, more ...string) {
	t.Helper()
	ordered := time.Now()
	if err := s.site.Install(ctx, m, s.image, append(more, "--hostname", m.Name)...); err != nil {
		t.Fatal(err)
	}
	on(ctx, t, m)
	_, err := s.site.WaitJournal(ctx, m, "its report from the installed system", func(e fleet.Entry) bool {
		return e2e.Deployed(e) && e.Received.After(ordered)
	})
	if err == nil {
		_, err = m.WaitLogin(ctx)
	}
	if err == nil {
		err = m.Login(ctx)
	}
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", m.Name, err))
	}
}
