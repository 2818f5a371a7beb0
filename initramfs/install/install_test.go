package install

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/appliance/job"
	"griddle/imagestore/head"
	"griddle/imagestore/minisign"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/newroot"
)

const jobID = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab"

// debian is a tree that has everything that Run treats specially.
func debian(t testing.TB) *sent {
	return publish(t, func(dir string) {
		put(t, dir, map[string]string{
			"boot/vmlinuz-6.1.0-9-amd64":       "a kernel",
			"usr/lib/systemd/systemd":          "process 1",
			"sbin/init":                        "-> ../usr/lib/systemd/systemd",
			"boot/initrd.img-6.1.0-9-amd64":    "an initrd",
			"vmlinuz":                          "-> boot/vmlinuz-6.1.0-9-amd64",
			"initrd.img":                       "-> boot/initrd.img-6.1.0-9-amd64",
			"etc/hostname":                     "template\n",
			"etc/hosts":                        "127.0.0.1 localhost\n127.0.1.1 template\n::1 ip6-localhost\n",
			"etc/machine-id":                   "0123456789abcdef0123456789abcdef\n",
			"var/lib/dbus/machine-id":          "0123456789abcdef0123456789abcdef\n",
			"var/lib/systemd/random-seed":      "old",
			"etc/ssh/ssh_host_ed25519_key":     "old",
			"etc/ssh/ssh_host_ed25519_key.pub": "old",
			"etc/ssh/ssh_host_ecdsa_key":       "old",
			"etc/ssh/sshd_config":              "kept\n",
			"usr/sbin/sshd":                    "a program",
			"etc/fstab": "# comment\nUUID=dead / ext4 defaults 0 1\n" +
				"/dev/sdb1 none swap sw 0 0\ntmpfs /tmp tmpfs nosuid 0 0\n",
			"home/alice/notes":                    "hers",
			"home/home/bin":                       "a user named home",
			"etc/systemd/system/some.service":     "x",
			"usr/share/a file with spaces/\xff\n": "odd",
		})
		if err := os.Chown(filepath.Join(dir, "home/alice/notes"), 1000, 1000); err != nil {
			t.Fatal(err)
		}
	}, func(dir string) {
		put(t, dir, map[string]string{"etc/version": "2\n"})
	})
}

func spec(disk string) job.Spec {
	return job.Spec{
		ID: jobID, Kind: job.Install, Disk: job.DiskRule("path:" + disk),
		Args: []string{"net.ifnames=0"}, Home: job.Home{URL: "https://10.0.0.1:8443/v1/agent/home", Token: "once"},
	}
}

func TestRun(t *testing.T) {
	img, o := debian(t), options(t)
	key, err := minisign.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	o.Seen = head.Seen{Key: key.Public().String(), Seq: 7, Time: time.Unix(1.7e9, 0).UTC()}
	for _, sector := range []int{512, 4096} {
		t.Run(fmt.Sprint(sector), func(t *testing.T) {
			dev, other := disktest.Loop(t, 1<<30, sector), disktest.Loop(t, 64<<20, 512)
			if err := os.WriteFile(other, bytes.Repeat([]byte("mine "), 1000), 0); err != nil {
				t.Fatal(err)
			}
			before := sum(t, other)
			j := &journal{}
			s := spec(dev)
			begun, clock := time.Now(), []time.Time(nil)
			o.BIOS, o.SetClock = true, func(at time.Time) error { clock = append(clock, at); return nil }
			if err := Run(t.Context(), s, img, []job.Disk{found(t, dev, "D1"), found(t, other, "D2")},
				j, o); err != nil {
				t.Fatal(err)
			}
			if sum(t, other) != before {
				t.Error("the other disk has changed")
			}
			if !slices.Equal(j.started, []string{"D1"}) {
				t.Errorf("started on %v, want [D1]", j.started)
			}
			checkEvents(t, j, sector)
			checkDisk(t, dev, sector)
			checkSystem(t, dev, o.Seen, begun)
			if len(clock) != 1 || clock[0].Before(begun) {
				t.Errorf("the hardware clock was set to %v, want once, to the time after the install", clock)
			}

			// Again, as after a power cut before the server heard: the disk says that it is done.
			j = &journal{}
			whole := sum(t, dev)
			if err := Run(t.Context(), s, img, []job.Disk{found(t, dev, "D1")}, j, o); err != nil ||
				j.last().State != job.Done {
				t.Errorf("Run once more = %v, last event %+v; want done", err, j.last())
			}
			if len(j.started) != 0 || sum(t, dev) != whole || len(clock) != 1 {
				t.Error("Run once more touched the disk or the clock")
			}
		})
	}
}

func checkEvents(t *testing.T, j *journal, sector int) {
	t.Helper()
	if e := j.last(); e.State != job.Done || e.Phase != job.PhaseFinish || e.Job != jobID {
		t.Errorf("last event = %+v, want done", e)
	}
	var phases []job.Phase
	warnings := 0
	for _, e := range j.events {
		if !slices.Contains(phases, e.Phase) {
			phases = append(phases, e.Phase)
		}
		if e.Level == job.Warning {
			warnings++
		}
		if e.Progress != nil && e.Phase != job.PhaseReceive && e.Phase != job.PhaseVerify {
			t.Errorf("progress in phase %s", e.Phase)
		}
	}
	if want := job.Phases[1:]; !slices.Equal(phases, want) {
		t.Errorf("phases = %v, want %v", phases, want)
	}
	if want := sector / 4096; warnings != want {
		t.Errorf("%d warnings, want %d (no BIOS boot from sectors of 4096 bytes)", warnings, want)
	}
}

func checkDisk(t *testing.T, dev string, sector int) {
	t.Helper()
	if out := disktest.Tool(t, "sgdisk", "-v", dev); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v: %s", out)
	}
	d := found(t, dev, "")
	if d.Installed != jobID || d.Unfinished != "" {
		t.Errorf("disk is marked %q installed, %q unfinished", d.Installed, d.Unfinished)
	}
	b := make([]byte, 512)
	f, err := os.Open(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	if grub := bytes.Contains(b, []byte("GRUB ")); grub != (sector == 512) {
		t.Errorf("boot sector has GRUB: %v", grub)
	}
	if active := b[446] == 0x80; active != (sector == 512) {
		t.Errorf("the protective MBR's active flag is %#x on a machine with BIOS", b[446])
	}
	esp, err := disk.Node(dev, "/sys", 2)
	if err != nil {
		t.Fatal(err)
	}
	listed, err := exec.Command("mdir", "-b", "-/", "-i", esp, "::/").Output()
	if err != nil {
		t.Fatalf("mdir (Debian package mtools, run make deps): %v", err)
	}
	got := strings.Fields(string(listed))
	slices.Sort(got)
	want := "::/EFI/ ::/EFI/BOOT/ ::/EFI/BOOT/BOOTX64.EFI ::/griddle/ ::/griddle/grub.cfg ::/griddle/grubenv" +
		" ::/griddle/grubenv2"
	if strings.Join(got, " ") != want {
		t.Errorf("ESP has %v, want %v", got, want)
	}
	if out, err := exec.Command("fsck.vfat", "-n", esp).CombinedOutput(); err != nil {
		t.Errorf("fsck.vfat: %v: %s", err, out)
	}
}

func checkSystem(t *testing.T, dev string, want head.Seen, begun time.Time) {
	t.Helper()
	node, err := disk.Node(dev, "/sys", 3)
	if err != nil {
		t.Fatal(err)
	}
	disktest.Tool(t, "btrfs", "check", "--readonly", node)
	top := t.TempDir()
	disktest.Tool(t, "mount", "-o", "ro,subvolid=5", node, top)
	defer disktest.Tool(t, "umount", top)

	if out := disktest.Tool(t, "btrfs", "property", "get", filepath.Join(top, "@images/web-20261120.2@amd64"),
		"ro"); strings.TrimSpace(out) != "ro=true" {
		t.Errorf("image: %s", out)
	}
	if names, _ := os.ReadDir(filepath.Join(top, "@images")); len(names) != 1 {
		t.Errorf("@images has %v, want the newest alone", names)
	}
	key, err := minisign.ParsePublicKey(want.Key)
	if err != nil {
		t.Fatal(err)
	}
	if seen, err := head.OpenSeenDir(filepath.Join(top, "@persistent", SeenDir)).Of(key); err != nil ||
		!reflect.DeepEqual(seen, want) {
		t.Errorf("of the catalog the system remembers %+v, %v, want %+v", seen, err, want)
	}
	root := filepath.Join(top, "@roots/web-20261120.2@amd64")
	file := func(name string) string {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	const epoch = "usr/lib/clock-epoch"
	if st, err := os.Stat(filepath.Join(root, epoch)); err != nil || st.ModTime().Before(begun) {
		t.Errorf("%s = %v, %v, want one that was written in this install", epoch, st, err)
	}
	uuid := strings.TrimSpace(disktest.Tool(t, "blkid", "-p", "-o", "value", "-s", "UUID", node))
	for name, want := range map[string]string{
		"etc/hostname":        "abc-123\n",
		"etc/hosts":           "127.0.0.1 localhost\n127.0.1.1\tabc-123\n::1 ip6-localhost\n",
		"etc/version":         "2\n",
		"etc/ssh/sshd_config": "kept\n",
		newroot.AgentFile:     "the agent\n",
		"etc/systemd/system/multi-user.target.wants/griddle-phone-home.service": newroot.HomeUnit,
	} {
		if got := file(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if got, err := os.Readlink(filepath.Join(root, newroot.Command)); got != newroot.AgentFile {
		t.Errorf("%s leads to %q, %v, want %s", newroot.Command, got, err, newroot.AgentFile)
	}
	fstab := file("etc/fstab")
	for _, want := range []string{
		"UUID=" + uuid + " / btrfs subvol=/@roots/web-20261120.2@amd64,",
		"UUID=" + uuid + " /home btrfs subvol=/@home,", "UUID=" + uuid + " /persistent btrfs subvol=/@persistent,",
		" /boot/efi vfat ", "tmpfs /tmp tmpfs nosuid",
	} {
		if !strings.Contains(fstab, want) {
			t.Errorf("fstab lacks %q:\n%s", want, fstab)
		}
	}
	esp, err := disk.Node(dev, "/sys", 2)
	if err != nil {
		t.Fatal(err)
	}
	volume := strings.TrimSpace(disktest.Tool(t, "blkid", "-p", "-o", "value", "-s", "UUID", esp))
	if !strings.Contains(fstab, "UUID="+volume+" ") {
		t.Errorf("fstab lacks the ESP %s:\n%s", volume, fstab)
	}
	if strings.Contains(fstab, "dead") || strings.Contains(fstab, "sdb1") {
		t.Errorf("fstab keeps the template's devices:\n%s", fstab)
	}
	id := file("etc/machine-id")
	if len(id) != 33 || strings.HasPrefix(id, "0123456789abcdef") || file("var/lib/dbus/machine-id") != id {
		t.Errorf("machine-id = %q, dbus %q", id, file("var/lib/dbus/machine-id"))
	}
	if seed := file("var/lib/systemd/random-seed"); len(seed) != 512 {
		t.Errorf("random seed has %d bytes, want 512", len(seed))
	}
	var home newroot.PhoneHome
	if err := json.Unmarshal([]byte(file(newroot.HomeFile)), &home); err != nil || home.Token != "once" ||
		home.CA == "" || home.Root != "@roots/web-20261120.2@amd64" {
		t.Errorf("%s = %+v, %v", newroot.HomeFile, home, err)
	}
	if st, err := os.Stat(filepath.Join(root, newroot.HomeFile)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v; want mode 0600", newroot.HomeFile, st, err)
	}
	for _, image := range []string{bootloader.BootImage, bootloader.CoreImage, bootloader.EFIImage} {
		if file(bootloader.Images+"/"+image) == "" {
			t.Errorf("the system has no %s", image)
		}
	}
	keys, _ := filepath.Glob(filepath.Join(root, "etc/ssh/ssh_host_*_key"))
	if len(keys) != 2 {
		t.Errorf("host keys = %v, want ed25519 and ecdsa", keys)
	}
	for _, k := range keys {
		public := disktest.Tool(t, "ssh-keygen", "-y", "-f", k)
		if line := file(strings.TrimPrefix(k, root) + ".pub"); strings.TrimSpace(line) != strings.TrimSpace(public) {
			t.Errorf("%s: public key %q, want %q", k, line, public)
		}
	}
	if got, err := os.ReadFile(filepath.Join(top, "@home/alice/notes")); err != nil || string(got) != "hers" {
		t.Errorf("@home/alice/notes = %q, %v", got, err)
	}
	homes, _ := os.ReadDir(filepath.Join(top, "@home"))
	left, _ := os.ReadDir(filepath.Join(root, "home"))
	if len(homes) != 2 || len(left) != 0 {
		t.Errorf("@home has %v, the root's /home %v", homes, left)
	}
	if _, err := os.Stat(filepath.Join(top, "@home/home/bin")); err != nil {
		t.Error(err)
	}
}
