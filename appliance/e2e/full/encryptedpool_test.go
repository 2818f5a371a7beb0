//go:build e2e

package full

import (
	"bytes"
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

// inVault is a layout whose pool is encrypted: %[1]s is the machine's name, and %[2]s is what opens it.
const inVault = `version: 1
disks:
  - id: main
    match: {serial: %[1]s}
    partitions:
      - {id: bios, use: bios}
      - {id: esp, use: esp}
      - {id: boot, use: boot, size: 512M}
      - {id: pool, use: pool, size: rest, luks: {unlock: %[2]s}}
`

// vaultKey opens these pools; vaultText is what people wrote into them.
const vaultKey, vaultText = "staple battery horse correct", "no one who took this disk reads this thesis"

// vaultAsks is the question of the initrd.
const vaultAsks = `[Pp]lease enter passphrase for disk`

// TestEncryptedPool installs into an encrypted pool: on UEFI the TPM opens it and no one types anything, on a BIOS
// someone types the passphrase at the console. A live update is copied for GRUB, and starts. Then another image is
// installed into the pool from the network. The disk has nothing of the system that can be read.
func TestEncryptedPool(t *testing.T) {
	e2etest.Passes(t)
	s := openWith(t, (*e2e.Room).EncryptedContainer)
	s.image = s.publish(t)
	images := []string{s.release(t, "2"), s.release(t, "3")}
	s.startWith(t, checkIns)
	onFirmwares(t, func(t *testing.T, f e2e.Firmware) { s.inVault(t, f, images) })
}

func (s *suite) inVault(t *testing.T, f e2e.Firmware, images []string) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*limit)
	defer cancel()
	m, untouched := s.vault(ctx, t, f)
	ask := func(command string) string {
		t.Helper()
		return e2etest.Shell(m.Run).Ask(ctx, t, command)
	}
	begun := time.Now()
	starts := func(what string) {
		t.Helper()
		if err := opensVault(ctx, m); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		t.Logf("figure: %s: %s: login after %.1f s", t.Name(), what, time.Since(begun).Seconds())
	}
	on(ctx, t, m)
	defer m.PowerCut()
	if err := s.site.Approve(ctx, m); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ofJob(ctx, m, "the end of the install", e2e.InState(job.Done)); err != nil {
		t.Fatal(err)
	}
	starts("installed")
	is := func(image string) {
		t.Helper()
		root := regexp.QuoteMeta(strings.Replace(image, ":", "-", 1))
		want := regexp.MustCompile(`^/dev/(mapper/luks-\S+|dm-[0-9]+)\[/@roots/` + root + `\] btrfs ` + vaultText + `$`)
		got := ask("findmnt -no SOURCE,FSTYPE /; cat /home/thesis; systemctl --failed --plain --no-legend")
		if got = strings.Join(strings.Fields(got), " "); !want.MatchString(got) {
			t.Errorf("%s has %q, want %s", m.Name, got, want)
		}
	}
	ask("echo " + vaultText + " >/home/thesis; sync")
	is(s.image)

	if err := s.site.Update(ctx, m, images[0], "--when", "reboot"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ofJob(ctx, m, "the switch", func(e fleet.Entry) bool {
		return e.Event.Phase == job.PhaseSwitch
	}); err != nil {
		t.Fatal(err)
	}
	begun = time.Now()
	if _, err := m.Run(ctx, "(setsid sh -c 'sleep 1; reboot' >/dev/null 2>&1 &)"); err != nil {
		t.Fatal(err)
	}
	starts("updated")
	if _, err := s.ofJob(ctx, m, "the new system", e2e.InState(job.Done)); err != nil {
		t.Fatal(err)
	}
	is(images[0])
	ask("sync")
	m.PowerCut()

	if err := s.site.Install(ctx, m, images[1], "--disk", "serial:"+m.Name); err != nil {
		t.Fatal(err)
	}
	begun = time.Now()
	on(ctx, t, m)
	if err := s.site.Approve(ctx, m); err != nil { // the key of before is in the pool
		t.Fatal(err)
	}
	if _, err := s.ofJob(ctx, m, "the end of the second install", e2e.InState(job.Done)); err != nil {
		t.Fatal(err)
	}
	starts("installed again")
	is(images[1])
	ask("sync")
	m.PowerCut()
	for _, text := range []string{vaultText, vaultKey, "lab-release"} {
		if inFile(t, m.Disks[0].File, text) {
			t.Errorf("%q can be read on the disk of %s", text, m.Name)
		}
	}
	untouched()
}

// vault is a machine that has the passphrase in its settings, and an order; another disk of it is compared.
func (s *suite) vault(ctx context.Context, t *testing.T, f e2e.Firmware) (m *e2e.Machine, untouched func()) {
	t.Helper()
	h := e2e.Hardware{Name: "vault-" + string(f), Firmware: f, TPM: f == e2e.UEFI}
	file, err := s.room.MakeDisk(h.Name, diskSize)
	if err != nil {
		t.Fatal(err)
	}
	other, untouched := e2etest.OtherDisk(t, s.room, h.Name+"-other")
	h.Disks = []e2e.Disk{{File: file, Serial: h.Name}, other}
	if m, err = s.room.Machine(ctx, h); err != nil {
		t.Fatal(err)
	}
	unlock := "[passphrase]"
	if h.TPM {
		unlock = "[passphrase, tpm2]"
	}
	layout, settings := filepath.Join(t.TempDir(), "layout.yaml"), filepath.Join(t.TempDir(), "settings.yaml")
	if err := errors.Join(os.WriteFile(layout, fmt.Appendf(nil, inVault, h.Name, unlock), 0o600),
		os.WriteFile(settings, fmt.Appendf(nil, "hostname: %s\ndisks: {passphrase: %s}\n", h.Name, vaultKey), 0o600),
		s.site.Set(ctx, m, settings)); err != nil {
		t.Fatal(err)
	}
	if err := s.site.Install(ctx, m, s.image, "--layout", layout); err != nil {
		t.Fatal(err)
	}
	return m, untouched
}

// opensVault waits for a login, and types the passphrase where it is asked for: always on a machine without a TPM, and
// never on one with a TPM.
func opensVault(ctx context.Context, m *e2e.Machine) error {
	for asked := false; ; asked = true {
		l, err := m.Console().Wait(ctx, vaultAsks+`|^[a-z0-9-]+ login: `)
		switch is := err == nil && regexp.MustCompile(vaultAsks).MatchString(l.Text); {
		case err != nil:
			return err
		case is && (m.TPM || asked):
			return fmt.Errorf("%s asks for the passphrase: %s", m.Name, m.Console().Tail(15))
		case !is && !m.TPM && !asked:
			return fmt.Errorf("%s did not ask for the passphrase", m.Name)
		case !is:
			return m.Login(ctx)
		}
		if err := m.Console().Send(vaultKey + "\r"); err != nil {
			return err
		}
	}
}

// inFile says whether a text is somewhere in a file.
func inFile(t *testing.T, name, text string) bool {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const step = 4 << 20
	b := make([]byte, step+len(text)) // a text may cross the end of a step
	for at := int64(0); ; at += step {
		n, err := f.ReadAt(b, at)
		if bytes.Contains(b[:n], []byte(text)) {
			return true
		}
		if err != nil {
			return false
		}
	}
}
