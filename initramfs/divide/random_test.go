package divide

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/divide/dividetest"
	"griddle/initramfs/facts"
	"griddle/initramfs/ntfs"
)

// TestRandomLayouts carries out random layouts on random disks, interrupts some of them, and has other programs judge
// what the disks have. GRIDDLE_SEED makes the same disks and layouts again.
func TestRandomLayouts(t *testing.T) {
	seed, times := rand.Uint64(), 2
	if torture {
		times = 100
	}
	if s := os.Getenv("GRIDDLE_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("GRIDDLE_SEED: %v", err)
		}
	}
	t.Logf("GRIDDLE_SEED=%d", seed)
	for n := range times {
		t.Run(fmt.Sprintf("%03d", n), func(t *testing.T) {
			t.Logf("GRIDDLE_SEED=%d", seed)
			(&chance{T: t, r: rand.New(rand.NewPCG(seed, uint64(n)))}).try()
		})
	}
}

// chance is one random layout on one random machine.
type chance struct {
	*testing.T
	r     *rand.Rand
	disks []*dividetest.Disk
	watch *dividetest.Watched
	plan  plan.Plan
	book  book
}

func (c *chance) try() {
	for i := range 1 + c.r.IntN(3) {
		d := dividetest.Random(c, c.r, fmt.Sprint("S", i+1))
		c.Log(d)
		c.disks = append(c.disks, d)
	}
	asked := c.ask()
	c.watch = dividetest.Watch(c, c.disks, asked, c.plan)
	for range c.r.IntN(4) {
		if c.interrupted() {
			return
		}
		c.watch.Outside(c)
		if c.r.IntN(3) == 0 {
			c.restart()
		}
		if c.Failed() {
			return
		}
	}
	_, err := Run(c.Context(), c.options())
	c.end(err)
}

// ask makes layouts until one fits the disks.
func (c *chance) ask() dividetest.Asked {
	var disks []job.Disk
	found, err := look(c.Context(), c.paths())
	if err != nil {
		c.Fatal(err)
	}
	for _, d := range c.disks {
		for _, j := range found {
			if j.Serial == d.Serial {
				disks = append(disks, c.learn(j))
			}
		}
	}
	ways := dividetest.Ways(c.r)
	for n := 0; ; n++ {
		way := ways[n/300%len(ways)]
		asked := dividetest.Ask(c.r, way, disks)
		p, err := plan.Make(plan.Input{Layout: asked.Document, Disks: disks})
		if err == nil {
			c.Logf("layout %d fits, %s:\n%s", n, way, p.Text(110))
			c.plan = p
			return asked
		}
		if n%300 == 0 {
			c.Logf("layout %d: %v", n, err)
		}
		if n == 6000 {
			c.Fatalf("no layout fits these disks, not even one that wipes them: %v", err)
		}
	}
}

// learn adds what a machine finds out about the filesystems of a disk.
func (c *chance) learn(j job.Disk) job.Disk {
	c.Helper()
	for i, p := range j.Partitions {
		f := facts.Of(c.Context(), j.Path, content.Partition{Number: p.Number, Start: p.Start, Size: p.Size,
			Signature: content.Signature{Type: p.Filesystem}})
		j.Partitions[i].Used, j.Partitions[i].Minimum, j.Partitions[i].Unfit = f.Used, f.Minimum, f.Unfit
	}
	return j
}

func (c *chance) paths() map[string]string {
	out := map[string]string{}
	for _, d := range c.disks {
		out[d.Serial] = d.Dev
	}
	return out
}

func (c *chance) options() Options {
	m := &machine{t: c.T, disks: c.paths()}
	return m.options(c.plan, &c.book)
}

// restart switches the machine off and on. Its disks get other names.
func (c *chance) restart() {
	for _, d := range c.disks {
		d.Detach(c)
	}
	for _, i := range c.r.Perm(len(c.disks)) {
		c.disks[i].Attach(c)
	}
	c.Logf("after a restart the disks are %v", c.paths())
}

// interrupted carries the plan out until something happens, and says whether it was carried out before.
func (c *chance) interrupted() (done bool) {
	left := 2*len(c.plan.Steps) + 2 - len(c.book.lines) // entries; a shrink has more
	n := c.r.IntN(max(1, left))
	var err error
	switch what := c.r.IntN(3); what {
	case 0:
		c.book.fail, c.book.keep = len(c.book.lines)+1+n, c.r.IntN(2) == 0
		_, err = Run(c.Context(), c.options())
		c.book.fail = 0
		c.Logf("the journal fails after %d more entries: %v", n, err)
	case 1:
		o, now := c.options(), &cutter{left: c.r.IntN(3 + 4*n)}
		o.wrap = func(f *os.File) device { return cut{f, now} }
		_, err = Run(c.Context(), o)
		c.Logf("the power is cut after some writes: %v", err)
	default:
		err = c.killed(n)
		c.Logf("killed after %d more entries: %v", n, err)
	}
	if errors.Is(err, errBook) || errors.Is(err, errCut) || errors.Is(err, errKilled) {
		return false
	}
	c.end(err)
	return true
}

// end judges the disks after a run that was not interrupted. An NTFS may have to be repaired by Windows first.
func (c *chance) end(err error) {
	c.Helper()
	var why ntfs.Refusal
	switch {
	case err == nil:
		c.watch.Done(c)
		made, err := Run(c.Context(), c.options()) // which does nothing
		if err != nil {
			c.Fatal(err)
		}
		m := &machine{t: c.T, disks: c.paths()}
		m.asPlanned(c.plan, made)
	case errors.As(err, &why):
		c.Logf("this has to be done first: %v", err)
		c.watch.Outside(c)
	default:
		c.Fatalf("Run = %v\n%s", err, c.plan.Text(110))
	}
}

var errKilled = errors.New("it was killed")

// killed carries the plan out in another process, and kills that when its journal has some more entries.
func (c *chance) killed(entries int) error {
	e := errand{Plan: c.plan, Disks: c.paths(), Past: c.book.entries(c), Journal: filepath.Join(c.TempDir(), "journal")}
	said, done := e.killedAfter(c, entries, time.Duration(c.r.IntN(60))*time.Millisecond)
	journal, _ := os.ReadFile(e.Journal)
	for line := range bytes.Lines(journal) {
		c.book.lines = append(c.book.lines, bytes.TrimSpace(line))
	}
	switch {
	case said != "":
		_, err := Run(c.Context(), c.options())
		if err == nil {
			c.Fatalf("another process said %q, and this one has no error", said)
		}
		return err
	case !done:
		return errKilled
	}
	return nil
}
