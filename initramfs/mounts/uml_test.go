package mounts_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/luks"
	"griddle/initramfs/mounts"
	"griddle/initramfs/umltest"
)

// answers replies to each question for a passphrase, as a person at the machine does.
const answers = `[Unit]
DefaultDependencies=no
[Service]
ExecStart=/bin/sh -c 'while :; do for f in /run/systemd/ask-password/ask.*; do if [ -e "$f" ]; then \
  printf %%s "$(cat /etc/answer)" | /lib/systemd/systemd-reply-password 1 "$(sed -n s/^Socket=//p "$f")"; fi; done; \
  sleep 0.3; done'
`

// fills makes the filesystem in a volume that has none.
const fills = `[Unit]
DefaultDependencies=no
After=systemd-cryptsetup@VOLUME.service
Requires=systemd-cryptsetup@VOLUME.service
Before=srv.mount systemd-fsck@dev-mapper-VOLUME.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'blkid -p /dev/mapper/NAME || mkfs.ext4 -q -U UUID /dev/mapper/NAME'
`

// says what is mounted when people could log in, and ends the system.
const says = `[Unit]
DefaultDependencies=no
After=multi-user.target
[Service]
Type=oneshot
StandardOutput=tty
TTYPath=/dev/console
ExecStart=/bin/sh -c 'if grep " /srv ext4" /proc/mounts; then echo SRV IS MOUNTED; else echo SRV IS MISSING; fi'
ExecStart=/bin/systemctl --no-block poweroff
`

// blocks has udev look at disks alone.
const blocks = `[Service]
ExecStart=
ExecStart=-/bin/udevadm trigger --subsystem-match=block --action=add
`

// TestBoot has systemd open what is encrypted by the lines of this package: with the passphrase it is mounted before
// anyone can log in, and after three wrong ones the system starts without it.
func TestBoot(t *testing.T) {
	const volume, filesystem = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab", "6c2f0a4e-7a1c-4d3e-9f00-0123456789ab"
	all := []mounts.Mount{{UUID: filesystem, Filesystem: "ext4", Path: "/srv", Volume: volume}}
	second := filepath.Join(t.TempDir(), "second")
	if err := errors.Join(os.WriteFile(second, nil, 0o600), os.Truncate(second, 64<<20),
		luks.Make(t.Context(), second, luks.Volume{UUID: volume, Passphrase: []byte("correct horse"),
			Cost: luks.Cheap})); err != nil {
		t.Fatal(err)
	}
	m := umltest.New(t, 1<<30, "one")
	m.Attach(second)
	name := luks.Name(volume)
	units := strings.NewReplacer("VOLUME", strings.ReplaceAll(name, "-", `\x2d`), "NAME", name, "UUID", filesystem)
	// A machine that does much else finds its disk later.
	crypttab := strings.ReplaceAll(strings.Join(mounts.Volumes(all), "\n")+"\n", "=90s", "=600s")
	m.Fill(t, func(top string) {
		root := umltest.Root(t, top, "one")
		umltest.Modules(t, root, "drivers/md", "crypto", "security/keys")
		for _, unit := range []string{"systemd-udevd.service", "systemd-udev-trigger.service",
			"systemd-udevd-kernel.socket", "systemd-udevd-control.socket", "modprobe@dm_mod.service"} {
			if err := root.RemoveAll("etc/systemd/system/" + unit); err != nil {
				t.Fatal(err)
			}
		}
		for file, text := range map[string]string{
			"etc/fstab": umltest.Fstab + strings.Join(mounts.Lines(all), "\n") + "\n",
			"etc/systemd/system/systemd-udev-trigger.service.d/block.conf": blocks,
			"etc/crypttab":                       crypttab,
			"etc/answer":                         "correct horse",
			"etc/systemd/system/answers.service": answers,
			"etc/systemd/system/fills.service":   units.Replace(fills),
			"etc/systemd/system/says.service":    says,
		} {
			if err := root.Write(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for link, unit := range map[string]string{"sysinit.target.wants/answers.service": "../answers.service",
			"srv.mount.requires/fills.service":     "../fills.service",
			"multi-user.target.wants/says.service": "../says.service"} {
			if err := errors.Join(root.Parent("etc/systemd/system/"+link),
				root.ReplaceLink(unit, "etc/systemd/system/"+link)); err != nil {
				t.Fatal(err)
			}
		}
	})
	if _, console := m.Start(t); !strings.Contains(console, "SRV IS MOUNTED") {
		t.Fatalf("with the passphrase:\n%s", console)
	}
	m.Fill(t, func(top string) {
		if err := umltest.Open(t, top, "one").Write("etc/answer", []byte("another one"), 0o644); err != nil {
			t.Fatal(err)
		}
	})
	if _, console := m.Start(t); !strings.Contains(console, "SRV IS MISSING") {
		t.Errorf("with another passphrase:\n%s", console)
	}
}
