package ntfs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"griddle/initramfs/ntfs/ntfstest"

	"golang.org/x/sys/unix"
)

func TestShrink(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		t.Run(fmt.Sprint(sector), func(t *testing.T) {
			var v *ntfstest.Volume
			var before map[string]string
			if sector == 512 {
				v, before = fresh(t), base(t).files
			} else {
				v = ntfstest.Make(t, sector)
				before = v.Files(t)
			}
			var b book
			seen := map[string]float64{}
			begun := must[Begun](t)(Shrink(t.Context(), Options{Device: v.Device, To: ntfstest.End, Journal: &b,
				Progress: func(p Progress) { seen[p.Phase] = max(seen[p.Phase], p.Percent) }}))
			if want := []Step{StepSave, StepTry, StepResize, StepProve, StepShrunk}; !slices.Equal(b.steps(), want) {
				t.Errorf("the journal has %q, want %q", b.steps(), want)
			}
			if n := b.entries[2].Clusters; n < 500 {
				t.Errorf("the dry run moves %d clusters", n)
			}
			if seen["checking the volume"] != 100 || seen["moving data"] != 100 {
				t.Errorf("progress: %v", seen)
			}
			err := Prove(t.Context(), v.Device, begun)
			if err == nil || !strings.Contains(err.Error(), "its "+
				"partition has") {
				t.Errorf("Prove before the change of the table = %v", err)
			}
			v.Attach(t, ntfstest.End)
			if err := Prove(t.Context(), v.Device, begun); err != nil {
				t.Errorf("Prove = %v", err)
			}
			if after := v.Files(t); !maps.Equal(before, after) {
				t.Errorf("the files are not the same: there were %d, and there are %d", len(before), len(after))
			}
			v.Neighbours(t, ntfstest.Size)
			v.Attach(t, ntfstest.End-512*8)
			if err := Prove(t.Context(), v.Device, begun); err == nil {
				t.Error("Prove takes a partition that is too small by one cluster")
			}
		})
	}
}

// TestSizes has each size that Shrink refuses.
func TestSizes(t *testing.T) {
	v := fresh(t)
	before := v.Sum(t)
	place := "shrinking the NTFS volume on " + v.Device + " to "
	for _, c := range []struct {
		to   int64
		want Reason
		text string
	}{
		{ntfstest.Size/2 + room - mib, TooSmall, "1676673024 bytes (1.7 GB): its smallest size is 1677721600 bytes " +
			"(1.7 GB): choose a larger size, or delete files in Windows and try again"},
		{0, TooSmall, "0 bytes (0.0 GB): its smallest size is 1677721600 bytes (1.7 GB): choose a larger size, or " +
			"delete files in Windows and try again"},
		{ntfstest.Size, TooLarge, "3221225472 bytes (3.2 GB): it has 3221225472 bytes (3.2 GB) already: choose a " +
			"smaller size"},
		{ntfstest.End + 4096, "", "2147487744 bytes (2.1 GB): 2147487744 bytes is not a multiple of 1 MiB"},
	} {
		var b book
		_, err := Shrink(t.Context(), Options{Device: v.Device, To: c.to, Journal: &b})
		if r, _ := findRefusal(err); err == nil || r.Reason != c.want || err.Error() != place+c.text {
			t.Errorf("Shrink(%d) = %v\nwant %s", c.to, err, place+c.text)
		}
		if len(b.entries) > 0 {
			t.Errorf("Shrink(%d) recorded %q", c.to, b.steps())
		}
	}
	if v.Sum(t) != before {
		t.Error("the volume has changed")
	}
}

// TestJournalFails has a journal that is away at each step.
func TestJournalFails(t *testing.T) {
	for _, step := range []Step{StepSave, StepTry, StepResize, StepProve, StepShrunk} {
		v := fresh(t)
		before := v.Sum(t)
		b := book{fail: step}
		begun, err := Shrink(t.Context(), Options{Device: v.Device, To: ntfstest.End, Journal: &b})
		if !errors.Is(err, errBook) {
			t.Errorf("%s: Shrink = %v", step, err)
		}
		begins := step == StepSave || step == StepTry || step == StepResize
		if same := v.Sum(t) == before; same != begins {
			t.Errorf("%s: the volume is as before: %v", step, same)
		}
		b.fail = ""
		_, err = Shrink(t.Context(), Options{Device: v.Device, To: ntfstest.End, Journal: &b, Begun: &begun})
		if err != nil {
			t.Errorf("%s: Shrink again = %v", step, err)
		}
		v.Attach(t, ntfstest.End)
		if err := Prove(t.Context(), v.Device, begun); err != nil {
			t.Errorf("%s: Prove = %v", step, err)
		}
	}
}

// TestSaved looks at what the first entry has.
func TestSaved(t *testing.T) {
	v := fresh(t)
	b := book{fail: StepTry}
	_, _ = Shrink(t.Context(), Options{Device: v.Device, To: ntfstest.End, Journal: &b})
	if len(b.entries) != 1 || len(b.entries[0].Saved) != 5 {
		t.Fatalf("the journal has %q", b.steps())
	}
	dev := must[*os.File](t)(os.Open(v.Device))
	defer dev.Close()
	for _, p := range b.entries[0].Saved {
		now := make([]byte, len(p.Bytes))
		if _, err := dev.ReadAt(now, p.At); err != nil || string(now) != string(p.Bytes) || len(now) > 16<<10 {
			t.Errorf("%d bytes at byte %d are not those of the volume: %v", len(p.Bytes), p.At, err)
		}
	}
}

// TestCancelled shrinks for a caller who has given up: before the resize that ends it, and then no more.
func TestCancelled(t *testing.T) {
	v := fresh(t)
	ctx, cancel := context.WithCancel(t.Context())
	begun, err := Shrink(ctx, Options{Device: v.Device, To: ntfstest.End, Journal: &book{},
		Progress: func(Progress) { cancel() }})
	if err != nil {
		t.Errorf("Shrink, cancelled meanwhile = %v", err)
	}
	v.Attach(t, ntfstest.End)
	if err := Prove(t.Context(), v.Device, begun); err != nil {
		t.Error(err)
	}
	v = fresh(t)
	before := v.Sum(t)
	_, err = Shrink(ctx, Options{Device: v.Device, To: ntfstest.End, Journal: &book{}})
	if !errors.Is(err, ctx.Err()) {
		t.Errorf("Shrink, cancelled before = %v", err)
	}
	if v.Sum(t) != before {
		t.Error("the volume has changed")
	}
}

// TestOther continues on a partition that has another volume now.
func TestOther(t *testing.T) {
	v := ntfstest.Blank(t, ntfstest.Size, 512)
	v.Format(t)
	begun := Begun{Serial: 1, From: ntfstest.Size, To: ntfstest.End}
	_, err := Recognise(t.Context(), v.Device, begun)
	if !errors.Is(err, errOther) {
		t.Errorf("Recognise = %v", err)
	}
	if _, err := Repair(t.Context(), v.Device, begun, &book{}); !errors.Is(err, errOther) {
		t.Errorf("Repair = %v", err)
	}
	if _, err := Shrink(t.Context(), Options{Device: v.Device, To: ntfstest.End, Journal: &book{},
		Begun: &begun}); !errors.Is(err, errOther) {
		t.Errorf("Shrink = %v", err)
	}
	_, err = Shrink(t.Context(), Options{Device: v.Device, To: ntfstest.End + mib, Journal: &book{}, Begun: &begun})
	if err == nil || !strings.Contains(err.Error(), "the journal says that it is being shrunk to 2147483648 bytes") {
		t.Errorf("Shrink to another size = %v", err)
	}
	v.Edit(t, 0, 512, func(p []byte) { clear(p) })
	found := must[Found](t)(Recognise(t.Context(), v.Device, begun))
	if found.State != StateUnknown || !strings.Contains(found.Why, "it has no boot sector of NTFS") {
		t.Errorf("Recognise without a boot sector = %+v", found)
	}
}

// TestFailingDisk has a disk that takes no more writes in the middle, and one that cannot be read.
func TestFailingDisk(t *testing.T) {
	b := base(t)
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ntfstest.Tool(t, "umount", small) })
	disk := small + "/disk"
	ntfstest.Tool(t, "cp", "--sparse=always", b.volume.Disk, disk)
	v := &ntfstest.Volume{Disk: disk, Sector: 512}
	v.Attach(t, ntfstest.Size)
	var st unix.Stat_t
	if err := unix.Stat(disk, &st); err != nil {
		t.Fatal(err)
	}
	limit := func(n int64) { ntfstest.Tool(t, "mount", "-o", fmt.Sprint("remount,size=", n), small) }
	limit(st.Blocks*512 + 2*mib)
	var journal book
	begun, err := Shrink(t.Context(), Options{Device: v.Device, To: ntfstest.End, Journal: &journal})
	if !errors.Is(err, unix.EIO) || !slices.Equal(journal.steps(), []Step{StepSave, StepTry, StepResize}) {
		t.Errorf("Shrink = %v after %q", err, journal.steps())
	}
	limit(1 << 30)
	found := must[Found](t)(Recognise(t.Context(), v.Device, begun))
	if found.State != StateStale {
		t.Errorf("Recognise = %+v", found)
	}
	if !maps.Equal(v.Files(t), b.files) {
		t.Error("the files are not the same")
	}
	if err := os.Truncate(disk, 2*mib); err != nil {
		t.Fatal(err)
	}
	ntfstest.Tool(t, "blockdev", "--flushbufs", v.Device)
	if f, err := Look(t.Context(), v.Device); !errors.Is(err, unix.EIO) {
		t.Errorf("Look at a disk that cannot be read = %+v, %v", f, err)
	}
}
