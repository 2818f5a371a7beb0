//go:build e2e

package full

import (
	"context"
	"strings"
	"testing"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/e2etest"
)

// TestRescueShell opens the rescue shell by a key on the first page, and does there what a person does at night: the
// tools archive comes from the server, its programs work in the kernel of the boot image, and its modules load. `exit`
// returns to the screen, and a second shell has the tools without a second transfer.
func TestRescueShell(t *testing.T) {
	e2etest.Passes(t)
	s := open(t, e2e.DHCP)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	other, untouched := e2etest.OtherDisk(t, s.room, "bystander")
	m := s.machine(ctx, t, "night", e2e.BIOS, e2e.Virtio, other)
	on(ctx, t, m)
	defer m.PowerCut()
	shell := func(want string) {
		t.Helper()
		if _, err := m.Console().WaitScreen(ctx, `> i  Install an image`); err != nil {
			t.Fatal(err)
		}
		if err := m.Console().Send("s"); err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{want, `:~# $`} {
			if _, err := m.Console().Wait(ctx, line); err != nil {
				t.Fatal(err)
			}
		}
	}
	shell(`The tools are there`)
	for _, c := range []struct{ command, want string }{
		{"lsblk -dnro NAME,TYPE /dev/vda", "vda disk"},
		{"seq 7 | tail -5 | head -1", "3"},
		{"command -v tail vi ssh fdisk smartctl | wc -l", "5"},
		{`curl -sS -o /dev/null -w '%{http_code}' $(grep -o 'https://[^"]*' /etc/griddle/site.json)/v1/machines`,
			"401"},
		{"truncate -s 64M /tmp/a /tmp/b /tmp/c; for f in a b c; do losetup -f --show /tmp/$f; done | tail -1",
			"/dev/loop2"},
		{"echo secret | cryptsetup -q luksFormat --pbkdf pbkdf2 /dev/loop0 - && " +
			"echo secret | cryptsetup open --key-file - /dev/loop0 vault && mkfs.ext4 -q /dev/mapper/vault && " +
			"mount /dev/mapper/vault /mnt && findmnt -no SOURCE /mnt && umount /mnt && cryptsetup close vault",
			"/dev/mapper/vault"},
		{"yes | mdadm --create /dev/md0 --quiet --metadata=1.2 --level=1 --raid-devices=2 /dev/loop1 /dev/loop2; " +
			"grep -o 'active raid1' /proc/mdstat", "active raid1"},
		{"pvcreate -qq /dev/md0 && vgcreate -qq group /dev/md0 && lvcreate -qq -n volume -L 16M group && " +
			"lvs --noheadings -o lv_name group | tr -d ' ' && mkfs.ext4 -q /dev/group/volume && echo made", "made"},
		{"vgchange -qq -an group; mdadm --stop --quiet /dev/md0; cat /proc/mdstat | grep -c md0", "0"},
	} {
		got, err := m.Run(ctx, c.command)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s\nprints %q, want %q", c.command, got, c.want)
		}
	}
	// An editor, by keys.
	for _, step := range []struct{ send, want string }{
		{"vi /tmp/note\r", `"/tmp/note" \[New`}, {"ifound at night\x1b:wq\r", `:~# $`},
	} {
		if err := m.Console().Send(step.send); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Console().Wait(ctx, step.want); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := m.Run(ctx, "cat /tmp/note; fetch-tools"); err != nil || !strings.Contains(got, "found at night") ||
		!strings.Contains(got, "The tools are there") {
		t.Errorf("what was written with vi is %q, %v", got, err)
	}
	if err := m.Console().Send("exit\r"); err != nil {
		t.Fatal(err)
	}
	shell(`This is a shell`)
	if got, err := m.Run(ctx, "lsblk -dnro NAME,TYPE /dev/vda"); err != nil || !strings.Contains(got, "vda disk") {
		t.Errorf("in the second shell, lsblk prints %q, %v", got, err)
	}
	m.PowerCut()
	untouched()
}
