//go:build e2e

package full

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	room := e2etest.Open(t)
	container, err := room.VolumesContainer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{room: room, site: room.Site(e2e.Proxy), container: container,
		config: filepath.Join(room.Dir, "griddle.yaml")}
	p, err := s.site.Publish(ctx, container, e2e.ContainerName)
	if err != nil {
		t.Fatal(err)
	}
	s.image = p.Ref
	if err := room.LANServer(ctx); err != nil {
		t.Fatal(err)
	}
	s.startWith(t, checkIns)
	hardware := e2e.Hardware{Name: "volumes", Firmware: e2e.BIOS}
	var files []string
	for i, name := range []string{"volumes-a", "volumes-b", "volumes-c"} {
		file, err := room.MakeDisk(name, []int64{4 << 30, 2 << 30, 256 << 20}[i])
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
		hardware.Disks = append(hardware.Disks, e2e.Disk{File: file, Serial: name})
	}
	random(t, files[2], 64<<20)
	before := e2etest.Hash(t, files[2])
	m, err := room.Machine(ctx, hardware)
	if err != nil {
		t.Fatal(err)
	}
	on(ctx, t, m)
	if _, err := m.Console().WaitScreen(ctx, `> i  Install an image`); err != nil {
		t.Fatal(err)
	}
	m.PowerCut()
	file := filepath.Join(t.TempDir(), "volumes.yaml")
	if err := os.WriteFile(file, []byte(onVolumes), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := s.site.Plan(ctx, m, s.image, file)
	if err != nil {
		t.Fatal(err)
	}
	s.installs(ctx, t, m, "--layout", file, "--plan", planHash(t, out))
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
	if e2etest.Hash(t, files[2]) != before {
		t.Error("the third disk has changed")
	}
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
