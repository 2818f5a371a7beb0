package divide

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/appliance/recoverykey"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/disk/table"
	"griddle/initramfs/luks"
	"griddle/initramfs/umltest/fattest"
)

// TestLUKS carries out a plan with encrypted partitions under user-mode Linux, which has device-mapper. Each step is
// interrupted twice: after the journal has that it begins, and before it has that it is done.
func TestLUKS(t *testing.T) {
	image := ""
	if !fattest.Inside() {
		image = used(t)
	}
	if fattest.Run(t, "/", image) {
		return
	}
	fattest.Load(t, "crypto/cbc", "crypto/ecb", "crypto/xts", "crypto/af_alg", "crypto/algif_skcipher",
		"security/keys/encrypted-keys/encrypted-keys", "drivers/md/dm-mod", "drivers/md/dm-crypt")
	by := &layout.LUKS{Unlock: []string{layout.Passphrase, layout.Recovery}}
	recovery := &layout.LUKS{Unlock: []string{layout.Recovery}}
	small := esp
	small.Size = size(40 * mib)
	doc := of(small, layout.Partition{ID: "boot", Use: layout.Boot, Size: size(512 * mib)},
		layout.Partition{ID: "pool", Use: layout.Pool, Size: size(150 * mib), LUKS: by},
		layout.Partition{ID: "srv", Use: layout.Data, Size: size(48 * mib), LUKS: by, Mount: "/srv"},
		layout.Partition{ID: "swap", Use: layout.Swap, Size: size(24 * mib), LUKS: recovery})
	m := &machine{t: t, disks: map[string]string{"W1": "/dev/ubda"}}
	p := m.plan(doc)
	before := sums(t, "/dev/ubda", staying(p)...)
	first, second := []byte(recoverykey.New()), []byte(recoverykey.New())
	run := func(p plan.Plan, b *book, passphrase string, keys ...[]byte) (Made, error) {
		o := m.options(p, b)
		o.Passphrase, o.Recovery, o.cost = []byte(passphrase), keys, luks.Cheap
		return Run(t.Context(), o)
	}
	if _, err := run(p, &book{}, "", first); err == nil || !strings.Contains(err.Error(), "no passphrase") {
		t.Fatalf("Run without a passphrase = %v", err)
	}
	if _, err := run(p, &book{}, "correct horse"); err == nil || !strings.Contains(err.Error(), "there is none") {
		t.Fatalf("Run without a recovery key = %v", err)
	}
	b := &book{fail: 2, keep: true} // the plan is the first entry
	made, err := run(p, b, "correct horse", first)
	for n := 0; errors.Is(err, errBook) && n < 100; n++ {
		if n%4 == 1 {
			shut(t, b) // as a power cut does
		}
		b.fail, b.keep = len(b.lines)+2+n%2, n%2 == 1
		made, err = run(p, b, "correct horse", first)
	}
	b.fail = 0
	if err == nil {
		made, err = run(p, b, "correct horse", first)
	}
	if err != nil {
		t.Fatal(err)
	}
	same(t, before, sums(t, "/dev/ubda", staying(p)...))
	encrypted(t, made)
	if d := made.Disk; d.Unfinished != jobID || made.Pool.Part.Inside != "btrfs" {
		t.Errorf("the disk has the unfinished mark %q, and the pool %+v", d.Unfinished, made.Pool)
	}
	shut(t, b)
	finish(t, made)

	// Another passphrase with another recovery key opens nothing, and changes nothing. What only the first recovery key
	// opens needs that.
	parts := made.Parts
	for _, passphrase := range []string{"another one", "correct horse"} {
		if _, err := run(m.plan(doc), &book{}, passphrase, second); !errors.Is(err, luks.ErrKey) {
			t.Errorf("Run with %q and another recovery key = %v, want ErrKey", passphrase, err)
		}
		shut(t, b)
	}
	// What is encrypted stays in a later plan, and is opened: by the recovery key alone, and where a newer one would be
	// for what is made.
	for _, keys := range [][][]byte{{first}, {second, first}} {
		if made, err = run(m.plan(doc), &book{}, "another one", keys...); err != nil {
			t.Fatal(err)
		}
		for i, place := range encrypted(t, made) {
			if was := encrypted(t, Made{Parts: parts})[i]; place.Fresh || place.UUID != was.UUID ||
				place.Volume != was.Volume || place.Unrecoverable {
				t.Errorf("what was %+v is %+v", was, place)
			}
		}
		shut(t, b)
	}
	// A partition that stays may lack the recovery key that the layout says.
	doc.Disks[0].Partitions = slices.DeleteFunc(doc.Disks[0].Partitions, func(p layout.Partition) bool {
		return p.Use == layout.Swap
	})
	if made, err = run(m.plan(doc), &book{}, "correct horse", second); err != nil {
		t.Fatal(err)
	}
	for _, place := range made.Parts {
		if place.Unrecoverable != (place.Part.Unlock != "") {
			t.Errorf("with another recovery key: %+v", place)
		}
	}
	same(t, before, sums(t, "/dev/ubda", staying(p)...))
	shut(t, b)
}

// finish marks the pool as finished, as the last step of an install does.
func finish(t *testing.T, made Made) {
	t.Helper()
	f, err := os.OpenFile(made.Disk.Path, os.O_RDWR, 0)
	if err == nil {
		err = errors.Join(table.Mark(f, made.Disk.Size, made.Disk.SectorSize, jobID), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// used is the image of a disk with a partition that others use.
func used(t *testing.T) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "disk")
	noise := make([]byte, 16*mib)
	_, _ = rand.Read(noise)
	f, err := os.Create(image)
	if err == nil {
		_, err = f.WriteAt(noise, mib)
		err = errors.Join(err, f.Truncate(900*mib), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	disktest.Tool(t, "sgdisk", "-n", "1:2048:+16M", "-c", "1:theirs", image)
	return image
}

// encrypted are the encrypted partitions, which have what other programs expect.
func encrypted(t *testing.T, made Made) (out []Place) {
	t.Helper()
	for _, place := range made.Parts {
		if place.Part.Unlock == "" {
			continue
		}
		out = append(out, place)
		if place.Node != luks.Node(place.Volume) {
			t.Errorf("%+v has not the device file of its volume", place)
		}
		if _, err := os.Stat(place.Node); err != nil {
			continue // it was closed since
		}
		ask := func(key string) string {
			return strings.TrimSpace(disktest.Tool(t, "blkid", "-p", "-s", key, "-o", "value", place.Node))
		}
		if ask("TYPE") != place.Part.Inside || ask("UUID") != place.UUID || ask("LABEL") != place.Part.Label {
			t.Errorf("blkid says of %+v: %s %s %s", place, ask("TYPE"), ask("UUID"), ask("LABEL"))
		}
		if place.Part.Inside == "ext4" {
			disktest.Tool(t, "e2fsck", "-fn", place.Node)
		}
	}
	if len(out) != 3 {
		t.Errorf("%d partitions are encrypted, want 3", len(out))
	}
	return out
}

// shut closes the volumes that a journal has.
func shut(t *testing.T, b *book) {
	t.Helper()
	for _, e := range b.entries(t) {
		if e.UUID != "" {
			if err := luks.Close(t.Context(), strings.ToLower(e.UUID)); err != nil {
				t.Error(err)
			}
		}
	}
	if left, err := filepath.Glob("/dev/mapper/luks-*"); err != nil || slices.ContainsFunc(left, func(s string) bool {
		return !bytes.Contains([]byte(s), []byte("control"))
	}) {
		t.Errorf("still open: %v, %v", left, err)
	}
}
