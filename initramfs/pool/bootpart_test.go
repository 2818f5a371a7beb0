package pool

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootcopy"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/bootloader/grubtest"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/subvolume"
)

// The partition for kernels of bootParts, and the volume, which is not one here: that GRUB cannot read the pool is
// enough.
const bootID, volumeID = "0a1b2c3d-0000-4000-8000-0000000000f2", "0a1b2c3d-0000-4000-8000-0000000000f1"

// bootParts is a pool whose kernels are in a partition of so many MiB beside it.
func bootParts(t *testing.T, mib int64) (made pooltest.Made, place Place) {
	t.Helper()
	made = pooltest.Installed(t)
	for _, root := range []string{"one@amd64", "two@amd64"} {
		pooltest.Put(t, made.Top+"/@roots/"+root, map[string]string{"boot/initrd.img-6.1.0": "an initrd of " + root})
	}
	boot := pooltest.Loop(t, mib<<20)
	pooltest.Tool(t, "mkfs.ext4", "-q", "-F", "-L", "griddle-boot", "-U", bootID, boot)
	if err := bootloader.WriteConfig(made.ESP, bootloader.Config{ESP: "GR-1B4E28BA", PoolID: made.ID,
		Root: "@roots/one@amd64", Boot: &bootloader.Boot{ID: bootID, Volume: volumeID}}); err != nil {
		t.Fatal(err)
	}
	return made, Place{Job: pooltest.Job, Pool: made.Device, ESP: made.ESP, Boot: boot}
}

// changed opens a pool, has do change it, and closes it: all of it is on the disk then.
func changed(t *testing.T, place Place, do func(p *Pool) error) error {
	t.Helper()
	p, err := Open(place)
	if err != nil {
		t.Fatal(err)
	}
	err = do(p)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return err
}

// copied is what the partition for kernels has of each root: the text of its initrd, and whether it proved itself.
func copied(t *testing.T, place Place) map[string]string {
	t.Helper()
	m, err := subvolume.Other("ext4", place.Boot)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	out := map[string]string{}
	files, err := filepath.Glob(m.Dir() + "/*/*/initrd.img")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(f), Marker)); err == nil {
			b = append(b, ", good"...)
		}
		out[filepath.Base(filepath.Dir(filepath.Dir(f)))] += string(b)
	}
	return out
}

// A root of an encrypted pool is copied before GRUB starts it, blessed, copied again after its own kernel upgrade, and
// its copy goes with it.
func TestEncryptedPool(t *testing.T) {
	made, place := bootParts(t, 64)
	const one, two = "an initrd of one@amd64", "an initrd of two@amd64"
	is := func(what string, want map[string]string) {
		t.Helper()
		got := copied(t, place)
		if len(got) != len(want) {
			t.Errorf("%s: the copies are %q, want %q", what, got, want)
		}
		for root, text := range want {
			if got[root] != text {
				t.Errorf("%s: the copies are %q, want %q", what, got, want)
			}
		}
	}
	starts := func(what, root string, try bool) {
		t.Helper()
		got := grubtest.Boot(t, made.ESP, place.Boot)
		if got.Root != root || got.Try() != try || len(got.Args) < 3 || got.Args[2] != "rd.luks.uuid="+volumeID {
			t.Errorf("%s: GRUB starts %q with %q:\n%s", what, got.Root, got.Args, got.Screen)
		}
	}
	if err := changed(t, place, (*Pool).CopyKernels); err != nil {
		t.Fatal(err)
	}
	is("after an install", map[string]string{"one@amd64": one, "two@amd64": two})
	starts("after an install", "one@amd64", false)

	pooltest.Put(t, made.Top, map[string]string{"@roots/two@amd64/boot/initrd.img-6.1.0": two + ", of an update"})
	if err := changed(t, place, func(p *Pool) error { return p.Switch("two@amd64") }); err != nil {
		t.Fatal(err)
	}
	is("after an update", map[string]string{"one@amd64": one, "two@amd64": two + ", of an update"})
	starts("after an update", "two@amd64", true)
	starts("after a try", "one@amd64", false)
	if err := changed(t, place, func(p *Pool) error { return p.Bless("two@amd64") }); err != nil {
		t.Fatal(err)
	}
	is("after a blessing", map[string]string{"one@amd64": one + ", good", "two@amd64": two + ", of an update, good"})
	starts("after a blessing", "two@amd64", false)

	pooltest.Put(t, made.Top, map[string]string{"@roots/two@amd64/boot/vmlinuz-6.9.0": "a newer kernel",
		"@roots/two@amd64/boot/initrd.img-6.9.0": "a newer initrd"})
	if err := changed(t, place, (*Pool).CopyKernels); err != nil {
		t.Fatal(err)
	}
	is("after a kernel upgrade", map[string]string{"one@amd64": one + ", good", "two@amd64": "a newer initrd, good"})

	// grubenv is lost: what proved itself last starts.
	env := filepath.Join(made.ESP, bootenv.Folder)
	if err := errors.Join(os.WriteFile(filepath.Join(env, "grubenv"), make([]byte, 1024), 0o600),
		os.WriteFile(filepath.Join(env, "grubenv2"), make([]byte, 1024), 0o600)); err != nil {
		t.Fatal(err)
	}
	starts("without grubenv", "two@amd64", false)
	if err := bootenv.Write(made.ESP, bootenv.Env{Good: "two@amd64"}); err != nil {
		t.Fatal(err)
	}
	if err := changed(t, place, func(p *Pool) error { return p.DeleteRoot("one@amd64") }); err != nil {
		t.Fatal(err)
	}
	is("after a deletion", map[string]string{"two@amd64": "a newer initrd, good"})
}

// What cannot be copied is not started, and what boots stays as it is.
func TestEncryptedPoolRefuses(t *testing.T) {
	made, place := bootParts(t, 8)
	if err := changed(t, place, (*Pool).CopyKernels); err != nil {
		t.Fatal(err)
	}
	before, err := bootenv.Read(made.ESP)
	if err != nil {
		t.Fatal(err)
	}
	refuses := func(what string, place Place, want error, text string, do func(p *Pool) error) {
		t.Helper()
		err := changed(t, place, do)
		if err == nil || !errors.Is(err, want) && want != nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want %q", what, err, text)
		}
		if after, err := bootenv.Read(made.ESP); err != nil || after != before {
			t.Errorf("%s: grubenv is %+v, %v, want %+v", what, after, err, before)
		}
	}
	try := func(p *Pool) error { return p.Switch("two@amd64") }
	initrd := filepath.Join(made.Top, "@roots/two@amd64/boot/initrd.img-6.1.0")
	if err := os.WriteFile(initrd, []byte(strings.Repeat("large", 4<<20)), 0o644); err != nil {
		t.Fatal(err)
	}
	refuses("an initrd without room", place, bootcopy.ErrRoom, "delete earlier roots", try)
	if err := changed(t, place, (*Pool).CopyKernels); !errors.Is(err, bootcopy.ErrRoom) {
		t.Errorf("CopyKernels without room: %v", err)
	}
	// The root that runs well is blessed nevertheless.
	if err := changed(t, place, func(p *Pool) error { return p.Bless("one@amd64") }); err != nil {
		t.Errorf("blessing while another root has no room: %v", err)
	}
	if got := copied(t, place); got["one@amd64"] != "an initrd of one@amd64, good" {
		t.Errorf("the copies are %q", got)
	}
	if err := os.Remove(initrd); err != nil {
		t.Fatal(err)
	}
	refuses("no initrd", place, ErrRefused, "it has no kernel", try)
	pooltest.Put(t, made.Top, map[string]string{"@roots/two@amd64/boot/initrd.img-6.1.0": "an initrd"})
	gone := place
	gone.Disk, gone.Boot = made.Device, ""
	refuses("no partition for kernels", gone, nil, "no partition of "+made.Device+" has an ext4 with the UUID "+bootID,
		try)
	gone.Boot = made.Device
	refuses("another filesystem", gone, nil, "mounting ext4", try)
	if err := changed(t, place, try); err != nil {
		t.Errorf("in the end: %v", err)
	}
}

// A copy of a fresh root is there before GRUB starts it, and goes when it is used up.
func TestEncryptedBase(t *testing.T) {
	made, place := bootParts(t, 64)
	top := made.Top + "/@roots/"
	pooltest.Put(t, top, map[string]string{"one@amd64/" + BaseMarker: "system\n"})
	for _, name := range []string{"one@amd64~1", "one@amd64~2"} {
		pooltest.Tool(t, "btrfs", "subvolume", "snapshot", top+"one@amd64", top+name)
		if err := os.Remove(top + name + "/" + BaseMarker); err != nil {
			t.Fatal(err)
		}
	}
	if err := changed(t, place, func(p *Pool) error { return p.Ready("one@amd64", 1, 2) }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one@amd64~1", "one@amd64~2", "one@amd64"} {
		if got := grubtest.Boot(t, made.ESP, place.Boot); got.Root != want {
			t.Errorf("GRUB starts %q, want %q:\n%s", got.Root, want, got.Screen)
		}
	}
	has := func(what string, want ...string) {
		t.Helper()
		if got := slices.Sorted(maps.Keys(copied(t, place))); !slices.Equal(got, want) {
			t.Errorf("%s: there are copies of %q, want %q", what, got, want)
		}
	}
	has("when both are used up", "one@amd64", "one@amd64~1", "one@amd64~2", "two@amd64")
	if err := changed(t, place, (*Pool).DeleteSpent); err != nil {
		t.Fatal(err)
	}
	has("when one is deleted", "one@amd64", "one@amd64~2", "two@amd64")
	if err := changed(t, place, (*Pool).CopyKernels); err != nil {
		t.Fatal(err)
	}
	has("when kernels are copied", "one@amd64", "two@amd64") // the other one is not started again
	if err := bootenv.Write(made.ESP, bootenv.Env{Good: "two@amd64"}); err != nil {
		t.Fatal(err)
	}
	if err := changed(t, place, func(p *Pool) error { return p.DeleteRoot("one@amd64") }); err != nil {
		t.Fatal(err)
	}
	has("when the base is deleted", "two@amd64")
}

// What someone changes in a root that does not run is copied when they leave it.
func TestEncryptedSystem(t *testing.T) {
	made, place := bootParts(t, 64)
	if err := errors.Join(changed(t, place, (*Pool).CopyKernels), changed(t, place, func(p *Pool) error {
		s, err := p.System("two@amd64")
		if err != nil {
			return err
		}
		pooltest.Put(t, s.Dir, map[string]string{"boot/initrd.img-6.1.0": "another initrd"})
		return s.Close()
	})); err != nil {
		t.Fatal(err)
	}
	if got := copied(t, place); got["two@amd64"] != "another initrd" || got["one@amd64"] != "an initrd of one@amd64" {
		t.Errorf("the copies are %q", got)
	}
	// A root is not deleted while its copies cannot be.
	gone := place
	gone.Disk, gone.Boot = made.Device, ""
	if err := changed(t, gone, func(p *Pool) error { return p.DeleteRoot("two@amd64") }); err == nil ||
		!strings.Contains(err.Error(), "looking for the partition with the kernels of the pool") {
		t.Errorf("without the partition for kernels: %v", err)
	}
	if err := changed(t, place, func(p *Pool) error {
		c, err := p.Read()
		if _, gone := c.Root("two@amd64"); gone != nil {
			t.Error("the root is gone")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// TestBootNode has a copy of the pool's disk in the machine: its partition for kernels is left alone.
func TestBootNode(t *testing.T) {
	own, other := disktest.Loop(t, 32<<20, 512), disktest.Loop(t, 32<<20, 512)
	for _, dev := range []string{own, other} {
		pooltest.Tool(t, "sgdisk", "-n", "1:0:+4M", "-n", "2:0:+16M", dev)
		pooltest.Tool(t, "partx", "-u", dev)
		pooltest.Tool(t, "mkfs.ext4", "-q", "-F", "-U", bootID, dev+"p2")
	}
	for _, dev := range []string{own, other} {
		if got, err := bootNode(nodes(sys), dev, bootID); got != dev+"p2" || err != nil {
			t.Errorf("on %s bootNode = %q, %v", dev, got, err)
		}
	}
	pooltest.Tool(t, "wipefs", "-q", "-a", own+"p2")
	if got, err := bootNode(nodes(sys), own, bootID); err == nil {
		t.Errorf("on a disk without one bootNode = %q", got)
	}
}
