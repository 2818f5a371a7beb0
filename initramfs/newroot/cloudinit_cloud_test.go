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

// look is what Debian's cloud-init does at the first start, up to the network. TREE is the root.
const look = `set -e
mount --make-rprivate /
cd TREE
mount -t proc proc proc; mount -t sysfs sys sys; mount -t tmpfs run run; mount -t tmpfs dev dev
mknod dev/null c 1 3; mknod dev/urandom c 1 9
ip link add lan0 address 52:54:00:00:00:77 type veth peer name other
chroot . /usr/lib/cloud-init/ds-identify --force >run/identify
cat run/cloud-init/ds-identify.log run/cloud-init/cloud.cfg
chroot . cloud-init init --local
chroot . hostname
cat var/log/cloud-init.log etc/network/interfaces.d/50-cloud-init
`

// TestFound has Debian's cloud-init find the seed at once: it asks no cloud and searches no disk. The network of the
// settings wins over that of the image, also where the image leaves its network alone.
func TestFound(t *testing.T) {
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
	for name, text := range map[string]string{"91-clouds.cfg": "datasource_list: [Ec2, OpenStack, NoCloud]\n",
		"99-disable-network-config.cfg": "network: {config: disabled}\n"} {
		if err := m.Write("etc/cloud/cloud.cfg.d/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d, err := setting.Decode("machine", []byte(`{"hostname": "lab-1", "network": {"interfaces": [{"name": "lan0",
		"mac": "52:54:00:00:00:77", "addresses": ["192.0.2.7/24"]}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	s, err := setting.Merge(d).Resolve(setting.Machine{})
	if err != nil {
		t.Fatal(err)
	}
	files, err := seedOf(job.Spec{ID: "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab"}, "lab-1", s)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.giveSeed(files, true); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--uts", "--net", "--pid", "--fork", "sh", "-c",
		strings.ReplaceAll(look, "TREE", tree))
	b, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("cloud-init: %v: %s", err, b)
	}
	out := string(b)
	for _, want := range []string{"single entry in datasource_list (NoCloud None) use that",
		"Using seeded data from /var/lib/cloud/seed/nocloud", "Applying network configuration from ds", "\nlab-1\n",
		"address 192.0.2.7/24"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in what cloud-init says", want)
		}
	}
	for _, no := range []string{"'blkid'", "network config disabled", "DataSourceEc2", "Traceback"} {
		if strings.Contains(out, no) {
			t.Errorf("%q is in what cloud-init says", no)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}
