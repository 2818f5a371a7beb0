package install

import (
	"context"
	"errors"
	"strings"
	"testing"

	"griddle/appliance/setting"
	"griddle/initramfs/disk/disktest"
)

// TestEncryptedRefuses has what an install with encrypted partitions refuses, before anything is written.
func TestEncryptedRefuses(t *testing.T) {
	dev := disktest.Loop(t, 2<<30, 512)
	text := func(unlock string) string {
		return "version: 1\ndisks:\n  - id: main\n    match: {size: largest}\n    partitions:\n" +
			"      - {id: bios, use: bios}\n      - {id: esp, use: esp}\n" +
			"      - {id: home, use: home, size: 64M, luks: {unlock: " + unlock + "}}\n" +
			"      - {id: pool, use: pool, size: rest}\n"
	}
	opens := map[string]string{"lib/systemd/systemd-cryptsetup": "x"}
	tpm := map[string]string{"lib/systemd/systemd-cryptsetup": "x"}
	for _, lib := range []string{"esys.so.0", "mu.so.0", "rc.so.0", "tcti-device.so.0"} {
		tpm["lib/x86_64-linux-gnu/libtss2-"+lib] = "x"
	}
	given := func(context.Context) (setting.Settings, error) {
		return setting.Settings{Disks: setting.Disks{Passphrase: "correct horse"}}, nil
	}
	none := func(context.Context) (setting.Settings, error) { return setting.Settings{}, nil }
	for _, c := range []struct {
		name, unlock string
		tree         map[string]string
		settings     func(context.Context) (setting.Settings, error)
		want         string
	}{
		{"an image that opens none", "[passphrase]", nil, given, "it has no systemd-cryptsetup"},
		{"an image without libraries for a TPM", "[passphrase, tpm2]", opens, given, "it has no libtss2-esys.so"},
		{"a machine without a TPM", "[passphrase, tpm2]", tpm, given, "this machine has no TPM 2.0"},
		{"no settings", "[passphrase]", opens, nil, "the settings of this machine have no passphrase"},
		{"no passphrase", "[passphrase]", opens, none, "the settings of this machine have no passphrase"},
	} {
		o, k := options(t), &keeper{}
		o.Settings = c.settings
		s, disks := divideJob(t, &o, k, text(c.unlock), dev)
		err := Run(t.Context(), s, small(t, c.tree), disks, &journal{}, o)
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Run = %v, want ErrRefused with %q", c.name, err, c.want)
		}
		if len(k.all) > 0 || disktest.Tool(t, "wipefs", "--no-act", dev) != "" {
			t.Errorf("%s: something was written", c.name)
		}
	}
	pool := strings.Replace(text("[passphrase]"), "size: rest", "size: rest, luks: {unlock: [passphrase]}", 1)
	o, k := options(t), &keeper{}
	o.Settings = given
	s, disks := divideJob(t, &o, k, pool+"      - {id: boot, use: boot, size: 512M}\n", dev)
	err := Run(t.Context(), s, small(t, opens), disks, &journal{}, o)
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "an encrypted pool can be planned, but not") {
		t.Errorf("with an encrypted pool: Run = %v, want ErrRefused", err)
	}
	if len(k.all) > 0 || disktest.Tool(t, "wipefs", "--no-act", dev) != "" {
		t.Error("with an encrypted pool something was written")
	}
}
