package install

import (
	"context"
	"errors"
	"maps"
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
	lost := func(context.Context) ([]string, error) { return nil, errors.New("no key for this boot") }
	nothing := func(context.Context) ([]string, error) { return nil, nil }
	for _, c := range []struct {
		name, unlock string
		tree         map[string]string
		settings     func(context.Context) (setting.Settings, error)
		recovery     func(context.Context) ([]string, error)
		want         string
	}{
		{"an image that opens none", "[passphrase]", nil, given, nil, "it has no systemd-cryptsetup"},
		{"an image without libraries for a TPM", "[passphrase, tpm2]", opens, given, nil, "it has no libtss2-esys.so"},
		{"a machine without a TPM", "[passphrase, tpm2]", tpm, given, nil, "this machine has no TPM 2.0"},
		{"no settings", "[passphrase]", opens, nil, nil, "the settings of this machine have no passphrase"},
		{"no passphrase", "[passphrase]", opens, none, nil, "the settings of this machine have no passphrase"},
		{"no passphrase, but a recovery key", "[passphrase, recovery]", opens, none, lost,
			"the settings of this machine have no passphrase"},
		{"a server without recovery keys", "[recovery]", opens, nil, nil, "the server gives this machine none"},
		{"no recovery key", "[recovery]", opens, none, nothing, "the server has no recovery key for this machine"},
		{"a recovery key, and no TPM", "[recovery, tpm2]", tpm, nil, lost, "this machine has no TPM 2.0"},
	} {
		o, k := options(t), &keeper{}
		o.Settings, o.Recovery = c.settings, c.recovery
		s, disks := divideJob(t, &o, k, text(c.unlock), dev)
		err := Run(t.Context(), s, small(t, c.tree), disks, &journal{}, o)
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Run = %v, want ErrRefused with %q", c.name, err, c.want)
		}
		if len(k.all) > 0 || disktest.Tool(t, "wipefs", "--no-act", dev) != "" {
			t.Errorf("%s: something was written", c.name)
		}
	}
	o, k := options(t), &keeper{}
	o.Recovery = lost
	s, disks := divideJob(t, &o, k, text("[recovery]"), dev)
	if err := Run(t.Context(), s, small(t, opens), disks, &journal{}, o); err == nil ||
		!strings.Contains(err.Error(), "no key for this boot") || len(k.all) > 0 {
		t.Errorf("a server that refuses the recovery key: Run = %v", err)
	}
	sealed := strings.Replace(text("[passphrase]"), "size: rest", "size: rest, luks: {unlock: [passphrase]}", 1) +
		"      - {id: boot, use: boot, size: 512M}\n"
	tpmOpens := strings.ReplaceAll(sealed, "[passphrase]", "[passphrase, tpm2]")
	debian := map[string]string{"lib/systemd/systemd-cryptsetup": "x", "usr/sbin/cryptsetup": "x",
		"usr/share/initramfs-tools/hooks/cryptroot": "x"}
	maps.Copy(debian, tpm)
	bare := publish(t, func(dir string) { put(t, dir, debian) })
	for _, c := range []struct {
		name, layout string
		img          *sent
		want         string
	}{
		{"an initrd that opens no pool", sealed, small(t, opens), "nothing in it makes an initrd that opens one"},
		{"an initrd that does not know a TPM", tpmOpens, small(t, debian), "needs dracut with its module tpm2-tss"},
		{"an image without a kernel", sealed, bare, "the initrd of another image cannot open an encrypted pool"},
	} {
		o, k := options(t), &keeper{}
		o.Settings = given
		s, disks := divideJob(t, &o, k, c.layout, dev)
		err := Run(t.Context(), s, c.img, disks, &journal{}, o)
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("an encrypted pool and %s: Run = %v, want ErrRefused with %q", c.name, err, c.want)
		}
		if len(k.all) > 0 || disktest.Tool(t, "wipefs", "--no-act", dev) != "" {
			t.Errorf("an encrypted pool and %s: something was written", c.name)
		}
	}
}
