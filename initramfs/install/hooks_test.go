package install

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/chroot/chroottest"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/hook"
)

// hooked is an image with busybox and a hook.
func hooked(t testing.TB) *sent {
	return publish(t, func(dir string) {
		put(t, dir, map[string]string{"boot/vmlinuz-1": "a kernel",
			"usr/lib/systemd/systemd": "process 1", "sbin/init": "-> ../usr/lib/systemd/systemd",
			"etc/hostname": "x\n", "home/alice/notes": "hers",
			"etc/passwd": accounts["etc/passwd"],
			"etc/griddle/deploy.d/10-image": "#!/bin/sh\nset -e\ncat /etc/hostname /etc/fstab >/root/seen\n" +
				"env | grep GRIDDLE_ | sort >/persistent/variables; cat /etc/lab.key >/home/alice/key\n" +
				"cat /etc/resolv.conf >>/home/alice/key; echo image >>/log\n"})
		if err := os.Chmod(filepath.Join(dir, "etc/griddle/deploy.d/10-image"), 0o755); err != nil {
			t.Fatal(err)
		}
		chroottest.Busybox(t, dir)
	})
}

const withHooks = `{"hostname": "lab-1", "files": [{"path": "/etc/lab.key", "content": "key\n"}], "hooks": [
	{"name": "20-join", "script": "#!/bin/sh\necho join >>/log; echo joining; [ -e /persistent/joined ]\n", "skip": %t},
	{"name": "10-last", "script": "#!/bin/sh\necho last >>/log\n"}]}`

// Hooks run after the settings are written and everything is mounted. When one fails, the disk stays marked, and the
// job can be started again.
func TestHooks(t *testing.T) {
	img, o := hooked(t), options(t)
	o.Name, o.Resolv, o.Machine.UUID = "lab-07", filepath.Join(t.TempDir(), "resolv.conf"), "1b4e28ba"
	if err := os.WriteFile(o.Resolv, []byte("nameserver 192.0.2.53\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dev := disktest.Loop(t, 1<<30, 512)
	install := func() (*journal, error) {
		j := &journal{}
		return j, Run(t.Context(), spec(dev), img, []job.Disk{found(t, dev, "D1")}, j, o)
	}

	o.Settings = given(t, fmt.Sprintf(withHooks, false))
	j, err := install()
	if want := "the hook failed: hook 20-join of the settings: it ended with exit status 1: joining; " +
		"the disk is marked as unfinished: correct the hook, then start the job again"; !errors.Is(err,
		hook.ErrFailed) || j.last().State != job.Failed || j.last().Message != want {
		t.Errorf("Run = %v, the last event is %+v, want %s", err, j.last(), want)
	}
	if d := found(t, dev, "D1"); d.Installed != "" || d.Unfinished != jobID {
		t.Errorf("after the failure the disk is marked %q installed, %q unfinished", d.Installed, d.Unfinished)
	}
	mounted(t, dev, func(top string) {
		checkFiles(t, filepath.Join(top, "@roots/web-20261120.1@amd64"), map[string]string{"log": "image\njoin\n"})
	})
	esp, err := disk.Node(dev, "/sys", 2)
	if err != nil {
		t.Fatal(err)
	}
	if listed, _ := exec.Command("mdir", "-b", "-/", "-i", esp, "::/").Output(); len(listed) > 0 { // it fails if empty
		t.Errorf("after the failure the disk has a bootloader: %s", listed)
	}

	o.Settings = given(t, fmt.Sprintf(withHooks, true))
	j, err = install()
	if err != nil || j.last().State != job.Done {
		t.Fatalf("Run with a hook that may be skipped = %v, last event %+v", err, j.last())
	}
	warned := false
	for _, e := range j.events {
		warned = warned || e.Level == job.Warning && e.Phase == job.PhaseBootable && e.Job == jobID &&
			e.Message == "hook 20-join of the settings is skipped: it ended with exit status 1"
	}
	if !warned {
		t.Errorf("the journal has no warning of the skipped hook: %+v", j.events)
	}
	mounted(t, dev, func(top string) {
		root := filepath.Join(top, "@roots/web-20261120.1@amd64")
		checkFiles(t, root, map[string]string{"log": "image\njoin\nlast\n", "home/alice/key": "", "etc/resolv.conf": "",
			"run/griddle": "", "persistent/variables": ""})
		if b, _ := os.ReadFile(filepath.Join(root, "root/seen")); !strings.HasPrefix(string(b), "lab-1\n# Written by") {
			t.Errorf("the hook saw %s", b)
		}
		checkFiles(t, top, map[string]string{"@home/alice/key": "key\nnameserver 192.0.2.53\n",
			"@persistent/variables": "GRIDDLE_DISK=" + dev + "\nGRIDDLE_FIRMWARE=uefi\nGRIDDLE_HOSTNAME=lab-1\n" +
				"GRIDDLE_IMAGE=web:20261120.1@amd64\nGRIDDLE_JOB=" + jobID + "\nGRIDDLE_MAC=52:54:00:12:34:56\n" +
				"GRIDDLE_MACHINE=lab-07\nGRIDDLE_ROOT=/\nGRIDDLE_SERIAL=ABC-123\nGRIDDLE_UUID=1b4e28ba\n"})
	})
}
