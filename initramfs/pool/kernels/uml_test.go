package kernels

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/pool/kernels/unit"
	"griddle/initramfs/umltest"
)

// upgrades is a unit that changes kernel and initrd, as people and programs do, and waits for the copies.
const upgrades = `[Unit]
After=multi-user.target griddle-kernels.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'exec /bin/sh /upgrade'
StandardOutput=journal+console
StandardError=journal+console
ExecStopPost=/bin/systemctl --no-block poweroff
[Install]
WantedBy=multi-user.target
`

// upgrade is its program.
const upgrade = `
mount /dev/ubda4 /mnt
copied() { # waits until GRUB has this text in the initrd
	for i in $(seq 200); do
		if gzip -dc /mnt/one/*/initrd.img | grep -q "$1"; then echo "TEST: copied $1"; return; fi
		sleep 0.2
	done
	echo "TEST: NOT copied $1"
}
initrd() { # an archive with a program of this text
	mkdir -p /t/usr/sbin; echo "$1" >/t/usr/sbin/cryptsetup; (cd /t; find . | cpio -o -H newc --quiet | gzip -1)
}
initrd "initrd A" >/boot/initrd.img-6.1.0
copied "initrd A"
initrd "initrd B" >/boot/new; mv /boot/new /boot/initrd.img-6.1.0 # as dracut --force
copied "initrd B"
initrd "initrd C" >/boot/initrd.img-6.2.0; echo "kernel C" >/boot/vmlinuz-6.2.0
run-parts --report --exit-on-error --arg=6.2.0 --arg=/boot/vmlinuz-6.2.0 /etc/kernel/postinst.d && echo "TEST: hook"
copied "initrd C"
systemctl stop griddle-kernels.path
systemctl start griddle-kernels.service # which may have run
initrd "initrd D" >/boot/initrd.img-6.2.0 # while nothing looks
umount /mnt
systemctl is-failed griddle-kernels.service griddle-kernels.path
`

// A system with its units: GRUB has the copies of an initrd that someone made by hand, of one whose hook ran, and after
// the next start of one that changed while nothing looked.
func TestUnits(t *testing.T) {
	m := umltest.New(t, 2<<30, "one")
	m.KernelsBeside(t, 32<<20, "one")
	m.Fill(t, func(top string) {
		root := umltest.Root(t, top, "one")
		build := exec.Command("go", "build", "-ldflags=-s -w", "-o",
			filepath.Join(root.Name(), "usr/lib/griddle/griddle-agent"), "griddle/initramfs/griddle-agent")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building the agent: %v: %s", err, out)
		}
		err := errors.Join(unit.Install(root), root.Write("upgrade", []byte(upgrade), 0o644),
			root.Write("boot/vmlinuz-6.1.0", []byte("kernel A\n"), 0o644),
			root.RemoveAll("etc/kernel/postinst.d/initramfs-tools"),
			root.Write("etc/systemd/system/upgrade.service", []byte(upgrades), 0o644),
			root.ReplaceLink("../upgrade.service", "etc/systemd/system/multi-user.target.wants/upgrade.service"))
		if err != nil {
			t.Fatal(err)
		}
	})
	_, console := m.Start(t)
	for _, want := range []string{"TEST: copied initrd A", "TEST: copied initrd B", "TEST: hook",
		"TEST: copied initrd C"} {
		if !strings.Contains(console, want) {
			t.Errorf("the console does not say %q", want)
		}
	}
	copied := func() (text string) {
		m.Kernels(t, func(top string) {
			for _, file := range []string{"vmlinuz", "initrd.img"} {
				found, _ := filepath.Glob(filepath.Join(top, "one/*", file))
				for _, f := range found {
					b, _ := os.ReadFile(f)
					if z, err := gzip.NewReader(bytes.NewReader(b)); err == nil {
						b, _ = io.ReadAll(z)
					}
					text += string(b)
				}
			}
		})
		return text
	}
	if got := copied(); !strings.HasPrefix(got, "kernel C\n") || !strings.Contains(got, "initrd C\n") {
		t.Errorf("the copies are %q", got)
	}
	m.Fill(t, func(top string) {
		root := umltest.Open(t, top, "one")
		if err := root.Write("upgrade", []byte("systemctl start griddle-kernels.service && echo TEST: again\n"),
			0o644); err != nil {
			t.Fatal(err)
		}
	})
	_, again := m.Start(t)
	if got := copied(); !strings.Contains(got, "initrd D\n") || !strings.Contains(again, "TEST: again") {
		t.Errorf("after the next start the copies are %q", got)
	}
	if t.Failed() {
		t.Log(console, again)
	}
}
