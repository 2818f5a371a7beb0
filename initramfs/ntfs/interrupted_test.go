package ntfs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/initramfs/ntfs/ntfstest"

	"golang.org/x/sys/unix"
)

// moves is a resize that moves $MFTMirr. Shrink refuses it, and other programs do it.
const moves = 1024 * mib

// begins is what a journal knows when a shrink of the volume begins.
func begins(t *testing.T, v *ntfstest.Volume, to int64) Begun {
	t.Helper()
	var b book
	b.fail = StepTry
	_, _ = Shrink(t.Context(), Options{Device: v.Device, To: ntfstest.End, Journal: &b})
	if len(b.entries) != 1 {
		t.Fatalf("the journal has %q", b.steps())
	}
	begun := b.entries[0].Begun
	begun.To = to
	return begun
}

// milestones are places in a log: how many of its writes were done when the volume became something else.
type milestones struct {
	moved  int // a record names a copy
	mapped int // $Bitmap has its new size
	booted int // the boot sector is written
}

// find finds the milestones of a log by what is written.
func find(t *testing.T, log []write) milestones {
	t.Helper()
	var m milestones
	copied := false
	for i, w := range log {
		copied = copied || w.copied
		switch {
		case copied && !w.copied && !w.synced && m.moved == 0:
			m.moved = i + 1
		case w.at == 4*4096+6*1024 && !w.synced && !w.copied && m.mapped == 0 && i > len(log)-20:
			m.mapped = i + 1
		case w.copied && w.at == 0:
			m.booted = i + 1
		}
	}
	if !(0 < m.moved && m.moved < m.mapped && m.mapped < m.booted) {
		t.Fatalf("the log of %d writes has %+v", len(log), m)
	}
	return m
}

// want is the state after n writes of a log.
func (m milestones) want(n int, split bool) State {
	switch {
	case n < m.moved:
		return StateUnchanged
	case n < m.mapped && split:
		return StateSplit
	case n < m.mapped:
		return StateStale
	case n < m.booted:
		return StateAlmost
	}
	return StateShrunk
}

// TestKilled has a resize killed after each of many writes: by one of ours and by one that moves $MFTMirr.
func TestKilled(t *testing.T) {
	for _, to := range []int64{ntfstest.End, moves} {
		v := fresh(t)
		begun := begins(t, v, to)
		log := record(t, v, to)
		m := find(t, log)
		points := []int{0, 2, 500, m.moved - 1, m.moved, m.moved + 1, (m.moved + m.mapped) / 2, m.mapped - 4,
			m.mapped - 1, m.mapped, m.booted - 1, m.booted, len(log)}
		for range 4 {
			points = append(points, m.moved+rand.IntN(m.mapped-m.moved))
		}
		for _, n := range points {
			t.Run(fmt.Sprintf("%d/%d", to/mib, n), func(t *testing.T) {
				c := apply(t, log[:n])
				c.survives(t, begun, m.want(n, to == moves))
			})
		}
		// The mark for a check is in record 3, and is not yet in $MFTMirr.
		t.Run(fmt.Sprintf("%d/1", to/mib), func(t *testing.T) {
			apply(t, log[:1]).survives(t, begun, StateSplit)
		})
	}
}

// TestPowerCut loses, at many times, any of the writes for which ntfsresize had not waited.
func TestPowerCut(t *testing.T) {
	v := fresh(t)
	begun := begins(t, v, ntfstest.End)
	log := record(t, v, ntfstest.End)
	m := find(t, log)
	points := []int{1, 2, m.mapped, m.booted - 1, m.booted, m.booted + 1}
	for range 10 {
		points = append(points, m.moved+rand.IntN(m.mapped-m.moved))
	}
	for _, n := range points {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			waited := 0
			for i, w := range log[:n] {
				if w.synced {
					waited = i
				}
			}
			kept := slices.Clone(log[:waited])
			for _, w := range log[waited:n] {
				if rand.IntN(2) == 0 {
					kept = append(kept, w)
				}
			}
			apply(t, kept).survives(t, begun, "")
		})
	}
	// Without the waits of barrier, the records could be on the disk and what they name not.
	t.Run("without waiting", func(t *testing.T) {
		lost := slices.DeleteFunc(slices.Clone(log), func(w write) bool { return w.copied && w.at > 0 })
		if maps.Equal(apply(t, lost).Files(t), base(t).files) {
			t.Error("all files are as before: this test proves nothing")
		}
	})
}

// survives checks what an interruption left: the state, if one is wanted; that the files are the same; and that the
// shrink can be continued, or is refused with what to do.
func (c cut) survives(t *testing.T, begun Begun, want State) {
	t.Helper()
	before := c.Sum(t)
	found := must[Found](t)(Recognise(t.Context(), c.Device, begun))
	if want != "" && found.State != want {
		t.Fatalf("Recognise = %+v, want %s", found, want)
	}
	if c.Sum(t) != before {
		t.Error("Recognise has changed the volume")
	}
	c.continues(t, begun, found)
	if found.State == StateSplit || found.State == StateAlmost {
		var b book
		repaired, err := Repair(t.Context(), c.Device, begun, &b)
		if err != nil || !slices.Equal(b.steps(), []Step{StepRepair, StepRepaired}) {
			t.Fatalf("Repair = %+v, %v after %q", repaired, err, b.steps())
		}
		c.continues(t, begun, repaired)
		found = repaired
	}
	if found.State == StateUnknown {
		t.Fatalf("%+v", found)
	}
	if answer := must[int](t)(probe(t.Context(), c.Device)); answer != probeFit && answer != probeUnclean {
		t.Errorf("ntfs-3g.probe ends with %d", answer)
	}
	if after := c.Files(t); !maps.Equal(after, base(t).files) {
		t.Error("the files are not the same")
	}
	c.Neighbours(t, ntfstest.Size)
}

// continues tries to continue the shrink on a volume that allows no more than a look.
func (c cut) continues(t *testing.T, begun Begun, found Found) {
	t.Helper()
	if begun.To != ntfstest.End {
		return // Shrink would not have begun it
	}
	var b book
	o := Options{Device: c.Device, To: begun.To, Journal: &b, Begun: &begun}
	switch found.State {
	case StateUnchanged, StateShrunk:
		if _, err := Shrink(t.Context(), o); err != nil {
			t.Errorf("Shrink, continued = %v", err)
		}
	default:
		_, err := Shrink(t.Context(), o)
		if r, _ := findRefusal(err); r.Reason != HalfDone || r.Why != found.Why || r.Do == "" || len(b.entries) > 0 {
			t.Errorf("Shrink, continued from %s = %v after %q", found.State, err, b.steps())
		}
	}
}

// TestWindowsMeanwhile continues a shrink that ended when the volume was marked for a check, after what Windows does.
func TestWindowsMeanwhile(t *testing.T) {
	v := fresh(t)
	begun := begins(t, v, ntfstest.End)
	log := record(t, v, ntfstest.End)
	for _, c := range []struct {
		name string
		do   func(*testing.T, *ntfstest.Volume)
		want []Reason
	}{
		{"nothing", func(*testing.T, *ntfstest.Volume) {}, nil},
		{"hibernated", hibernate("hibr"), []Reason{Hibernated}},
		{"mounted and switched off", unclean, []Reason{Dirty, Unclean}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := apply(t, log[:3])
			c.do(t, v.Volume)
			_, err := Shrink(t.Context(), Options{Device: v.Device, To: ntfstest.End, Journal: &book{}, Begun: &begun})
			text := fmt.Sprint(err)
			for _, r := range c.want {
				if !strings.Contains(text, refuse(r).Error()) {
					t.Errorf("Shrink = %v, want %s", err, r)
				}
			}
			if (err == nil) != (c.want == nil) {
				t.Errorf("Shrink = %v", err)
			}
		})
	}
}

// TestKill kills the program itself, while it moves data. What it says of that may be read when it is through already:
// then it is killed earlier.
func TestKill(t *testing.T) {
	for _, percent := range []float64{0, 20, 90} {
		v, begun, err := killed(t, percent)
		for err == nil && percent >= 1 {
			percent /= 2
			v, begun, err = killed(t, percent)
		}
		if err == nil || !strings.Contains(err.Error(), "running ntfsresize: it ended by the signal killed") {
			t.Errorf("Shrink = %v", err)
		}
		cut{v}.survives(t, begun, "")
	}
}

// killed shrinks a fresh volume, and kills the program when it has moved so much.
func killed(t *testing.T, percent float64) (*ntfstest.Volume, Begun, error) {
	t.Helper()
	v, once := fresh(t), false
	begun, err := Shrink(t.Context(), Options{Device: v.Device, To: ntfstest.End, Journal: &book{},
		Progress: func(p Progress) {
			if !once && p.Phase == "moving data" && p.Percent >= percent {
				once = true
				kill(t)
			}
		}})
	return v, begun, err
}

// kill kills the ntfsresize that this process runs.
func kill(t *testing.T) {
	list, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range list {
		b, _ := os.ReadFile(name)
		var pid, parent int
		var comm, state string
		if n, _ := fmt.Sscan(string(b), &pid, &comm, &state, &parent); n == 4 && comm == "(ntfsresize)" &&
			parent == os.Getpid() {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				t.Error(err)
			}
		}
	}
}
