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
	"griddle/appliance/job"
)

// sealed is a layout that encrypts /home and swap on one disk and data on another one: %[1]s is the machine's name, and
// %[2]s is what opens them.
const sealed = `version: 1
disks:
  - id: main
    match: {serial: %[1]s-a}
    partitions:
      - {id: bios, use: bios}
      - {id: esp, use: esp}
      - {id: pool, use: pool, size: 3500M}
      - {id: swap, use: swap, size: 128M, luks: {unlock: %[2]s}}
      - {id: home, use: home, size: rest, luks: {unlock: %[2]s}}
  - id: more
    match: {serial: %[1]s-b}
    partitions:
      - {id: srv, use: data, size: rest, mount: /srv, luks: {unlock: %[2]s}}
`

// passphrase opens what these machines have encrypted; marker is what people wrote into it.
const passphrase, marker = "correct horse battery staple", "nobody else may read this thesis"

// asks is the question of systemd for a passphrase.
const asks = `Please enter passphrase for disk`

// TestEncrypted installs with encrypted partitions: on UEFI the TPM opens them, and on a BIOS without one a person does
// at the console. The disks have nothing of what was written into them that can be read. A new image has the same files
// in them, and with another TPM the passphrase opens them.
func TestEncrypted(t *testing.T) {
	e2etest.Passes(t)
	room := e2etest.Open(t)
	container, err := room.VolumesContainer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{room: room, site: room.Site(e2e.Proxy), container: container,
		config: filepath.Join(room.Dir, "griddle.yaml")}
	versions, err := s.site.PublishTwice(t.Context(), container)
	if err != nil {
		t.Fatal(err)
	}
	s.image = versions[0].Ref
	if err := room.LANServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.startWith(t, checkIns)
	t.Run("machines", func(t *testing.T) {
		for _, f := range []e2e.Firmware{e2e.UEFI, e2e.BIOS} {
			t.Run(string(f), func(t *testing.T) {
				e2etest.Passes(t)
				t.Parallel()
				s.encrypted(t, f, versions[1].Ref)
			})
		}
	})
}

func (s *suite) encrypted(t *testing.T, f e2e.Firmware, next string) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*limit)
	defer cancel()
	m, unchanged := s.sealedMachine(ctx, t, f)
	layout := s.sealedOrder(ctx, t, m)
	begun := time.Now()
	on(ctx, t, m)
	defer m.PowerCut()
	if err := s.site.Approve(ctx, m); err != nil {
		t.Fatal(err)
	}
	// starts waits for a login; no one types anything where the TPM opens all.
	starts := func(tpm bool) {
		t.Helper()
		if err := unlocked(ctx, m, tpm); err != nil {
			t.Fatal(err)
		}
		t.Logf("figure: %s: login after %.1f s", t.Name(), time.Since(begun).Seconds())
	}
	s.ended(ctx, t, m)
	starts(m.TPM)
	ask := func(command string) string {
		t.Helper()
		return e2etest.Shell(m.Run).Ask(ctx, t, command)
	}
	const has = `timeout 600 sh -c 'until swapon --noheadings --show | grep -q dm-; do sleep 1; done'; ` +
		`for d in /home /srv; do findmnt -no SOURCE,FSTYPE $d; cat $d/thesis; done; ` +
		`swapon --noheadings --show=NAME | sed s/[0-9]*$//; systemctl --failed --plain --no-legend`
	want := regexp.MustCompile(`^/dev/mapper/luks-\S+ ext4 (` + marker + `) /dev/mapper/luks-\S+ ext4 (` + marker +
		`) /dev/dm-$`)
	keeps := func(when string) {
		t.Helper()
		if got := strings.Join(strings.Fields(ask(has)), " "); !want.MatchString(got) {
			t.Errorf("%s: %s has %q, want %s", when, m.Name, got, want)
		}
	}
	ask("for d in /home /srv; do echo " + marker + " >$d/thesis; done; sync")
	keeps("once installed")
	if got := ask("grep -rlF '" + passphrase + "' /etc /persistent /var; lsblk -no TYPE | grep -c crypt"); got != "3" {
		t.Errorf("the passphrase is in files of %s, or it has not three encrypted volumes: %s", m.Name, got)
	}
	if err := s.site.WaitCheckIn(ctx, m); err != nil { // an update may be ordered while it is off
		t.Fatal(err)
	}
	m.PowerCut()
	looksSealed(t, m)

	begun = time.Now()
	on(ctx, t, m)
	starts(m.TPM)
	keeps("after a power cut")
	ask("sync")
	m.PowerCut()

	s.anew(ctx, t, m, layout, next)
	begun = time.Now()
	on(ctx, t, m)
	starts(m.TPM)
	s.ended(ctx, t, m)
	keeps("with another image")
	root := "/@roots/" + strings.Replace(next, ":", "-", 1)
	if got := ask("findmnt -no FSROOT /; sync"); got != root {
		t.Errorf("%s runs %q, want %s", m.Name, got, root)
	}
	m.PowerCut()
	if m.TPM {
		if err := m.ReplaceTPM(); err != nil {
			t.Fatal(err)
		}
		begun = time.Now()
		on(ctx, t, m)
		starts(false)
		keeps("with another TPM")
		m.PowerCut()
	}
	looksSealed(t, m)
	unchanged()
}

// unlocked waits for a login, and types the passphrase where it is asked for: never if the TPM opens all.
func unlocked(ctx context.Context, m *e2e.Machine, tpm bool) error {
	for asked := 0; ; asked++ {
		l, err := m.Console().Wait(ctx, asks+`|^[a-z0-9-]+ login: `)
		switch {
		case err != nil:
			return err
		case !strings.Contains(l.Text, asks):
			if asked == 0 && !tpm {
				return fmt.Errorf("%s did not ask for the passphrase", m.Name)
			}
			return m.Login(ctx)
		case tpm:
			return fmt.Errorf("%s asks although its TPM has the key: %s", m.Name, m.Console().Tail(15))
		}
		if err := m.Console().Send(passphrase + "\r"); err != nil {
			return err
		}
	}
}

// sealedMachine is a machine with two blank disks, and one with bytes of someone else, which unchanged compares.
func (s *suite) sealedMachine(ctx context.Context, t *testing.T, f e2e.Firmware) (m *e2e.Machine, unchanged func()) {
	t.Helper()
	h := e2e.Hardware{Name: "sealed-" + string(f), Firmware: f, TPM: f == e2e.UEFI}
	for i, size := range []int64{4 << 30, 256 << 20, 64 << 20} {
		name := h.Name + "-" + "abc"[i:i+1]
		file, err := s.room.MakeDisk(name, size)
		if err != nil {
			t.Fatal(err)
		}
		h.Disks = append(h.Disks, e2e.Disk{File: file, Serial: name})
	}
	other := h.Disks[2].File
	random(t, other, 64<<20)
	before := e2etest.Hash(t, other)
	m, err := s.room.Machine(ctx, h)
	if err != nil {
		t.Fatal(err)
	}
	return m, func() {
		t.Helper()
		if e2etest.Hash(t, other) != before {
			t.Errorf("the third disk of %s has changed", m.Name)
		}
	}
}

// sealedOrder gives a machine the passphrase and orders its install, by the layout in the file that it returns.
func (s *suite) sealedOrder(ctx context.Context, t *testing.T, m *e2e.Machine) (layout string) {
	t.Helper()
	unlock := "[passphrase]"
	if m.TPM {
		unlock = "[passphrase, tpm2]"
	}
	layout = filepath.Join(s.room.Dir, m.Name+"-layout.yaml")
	settings := filepath.Join(s.room.Dir, m.Name+"-settings.yaml")
	if err := errors.Join(os.WriteFile(layout, fmt.Appendf(nil, sealed, m.Name, unlock), 0o600),
		os.WriteFile(settings, fmt.Appendf(nil, "hostname: %s\ndisks: {passphrase: %s}\n", m.Name, passphrase), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.site.Set(ctx, m, settings),
		s.site.Install(ctx, m, s.image, "--layout", layout)); err != nil {
		t.Fatal(err)
	}
	return layout
}

// anew orders another image: by an install without --erase where there is a TPM, else by an update.
func (s *suite) anew(ctx context.Context, t *testing.T, m *e2e.Machine, layout, image string) {
	t.Helper()
	err := error(nil)
	if m.TPM {
		err = s.site.Install(ctx, m, image, "--layout", layout)
	} else {
		err = s.site.Update(ctx, m, image)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// ended waits until the present job of m is done. That of an update is when its system has proved itself.
func (s *suite) ended(ctx context.Context, t *testing.T, m *e2e.Machine) {
	t.Helper()
	known, err := s.site.Machine(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.site.WaitJournal(ctx, m, "the end of the job", func(e fleet.Entry) bool {
		return e.Event.Job == known.Job.Spec.ID && e.Event.State == job.Done
	}); err != nil {
		t.Fatal(err)
	}
}
