//go:build cloud

package newroot

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/setting"
	"griddle/cloud/guesttest"
	"griddle/initramfs/sysroot"
)

// start is what a start does that matters here, and says which instance it found. TREE is the root.
const start = `set -e
mount --make-rprivate /
cd TREE
mount -t proc proc proc; mount -t sysfs sys sys; mount -t tmpfs run run; mount -t tmpfs dev dev
mknod dev/null c 1 3; mknod dev/urandom c 1 9
chroot . cloud-init init --local
echo "instance $(cat var/lib/cloud/data/instance-id)"
chroot . cloud-init single --name scripts-per-once
chroot . cloud-init single --name scripts-per-instance
cat etc/done
`

// TestSameInstance has Debian's cloud-init take a root after an update for the same instance, do again what it does
// once for an instance, and not what it does once; an install makes another instance.
func TestSameInstance(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "tree")
	if err := guesttest.Tree(t.Context(), tree, os.Stderr); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(tree)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	m := &making{Dir: sysroot.Dir{Root: root}}
	for _, kind := range []string{"once", "instance"} {
		if err := m.Write("var/lib/cloud/scripts/per-"+kind+"/x", []byte("#!/bin/sh\necho per-"+kind+" >>/etc/done\n"),
			0o755); err != nil {
			t.Fatal(err)
		}
	}
	const first, second = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab", "6c2f0a4e-7a1c-4d3e-9f00-0123456789ab"
	for _, c := range []struct {
		name, id, want string
	}{
		{"install", first, "instance " + first + "\n...per-once\nper-instance\n"},
		{"update", "", "instance " + first + "\n...per-instance\n"},
		{"install again", second, "instance " + second + "\n...per-instance\n"},
	} {
		spec := job.Spec{ID: c.id}
		if c.id == "" {
			spec.ID = Instance(m.Dir)
		}
		// A new root has of what cloud-init left what package carry carries: var/lib/cloud/sem.
		for _, gone := range []string{"data", "instance", "instances"} {
			if err := m.RemoveAll("var/lib/cloud/" + gone); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.RemoveAll("etc/done"); err != nil {
			t.Fatal(err)
		}
		files, err := seedOf(spec, "lab-1", setting.Settings{})
		if err == nil {
			err = m.giveSeed(files, false)
		}
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--uts", "--net", "--pid", "--fork", "sh", "-c",
			strings.ReplaceAll(start, "TREE", tree))
		b, err := cmd.CombinedOutput()
		id, done, _ := strings.Cut(c.want, "...")
		if err != nil || !strings.Contains(string(b), id) || !strings.HasSuffix(string(b), "\n"+done) ||
			strings.Count(string(b), "per-once") != strings.Count(done, "per-once") {
			t.Errorf("%s: cloud-init: %v: %s, want %s", c.name, err, b, c.want)
		}
	}
}
