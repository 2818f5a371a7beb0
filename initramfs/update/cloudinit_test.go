package update_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/setting"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/intake/intaketest"
	"griddle/initramfs/pool/pooltest"
)

// An updated machine is the same instance to cloud-init, which does again what it does for an instance, and not what it
// does once. A machine that is installed again is another one.
func TestCloudInit(t *testing.T) {
	all := intaketest.Publish(t, func(dir string) {
		intaketest.Put(t, dir, map[string]string{"boot/vmlinuz-1": "a kernel", "boot/initrd.img-1": "an initrd",
			"usr/lib/systemd/systemd": "process 1", "sbin/init": "-> ../usr/lib/systemd/systemd",
			"usr/bin/cloud-init": "a program", "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
			"etc/group": "root:x:0:\n"})
	}, func(dir string) { intaketest.Put(t, dir, map[string]string{"etc/version": "2\n"}) })
	m := installed(t, pooltest.Loop(t, 1<<30), all[0])
	const first = "7d2f0a4e-7a1c-4d3e-9f00-0123456789ab"
	m.with(t, func(p *pool.Pool) {
		intaketest.Put(t, filepath.Join(p.Dir(), "@roots", oneRoot, "var/lib/cloud"), map[string]string{
			"seed/nocloud/meta-data":               `{"instance-id": "` + first + `"}`,
			"sem/config_scripts_per_once.once":     "1\n",
			"instances/" + first + "/sem/config_x": "1\n", "data/instance-id": first + "\n"})
	})
	m.o.Settings = func(context.Context) (setting.Settings, error) {
		return setting.Settings{Hostname: "lab-9"}, nil
	}
	for _, again := range []bool{false, true} {
		m.o.Reinstall = again
		r, err := m.update(t.Context(), t, all[1])
		if err != nil {
			t.Fatal(err)
		}
		root, want := "@roots/"+r.Root+"/var/lib/cloud/", first
		if again {
			want = updateJob
		}
		if got := m.read(t, root+"seed/nocloud/meta-data"); !strings.Contains(got, want) {
			t.Errorf("installed again: %t: the seed has %s, want %s", again, got, want)
		}
		if got := m.read(t, root+"sem/config_scripts_per_once.once"); got != "1\n" {
			t.Errorf("what was done once: %q", got)
		}
		m.with(t, func(p *pool.Pool) {
			for _, name := range []string{"instances", "data"} {
				if left, _ := filepath.Glob(filepath.Join(p.Dir(), root, name)); left != nil {
					t.Errorf("the new root has %v", left)
				}
			}
			if err := p.Forget(r.Root); err != nil {
				t.Fatal(err)
			}
		})
	}
}
