package imagestore_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"griddle/imagestore"
	"griddle/imagestore/catalog"
	"griddle/imagestore/content"
	"griddle/imagestore/durable"
	"griddle/imagestore/durable/durabletest"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/minisign"
)

// failure is what attempt turns into an error.
type failure struct{ error }

// attempting is a test whose Fatal is an error of what is tried, and not of the test.
type attempting struct{ testing.TB }

func (a attempting) Fatal(args ...any) {
	for _, x := range args {
		if err, ok := x.(error); ok {
			panic(failure{err})
		}
	}
	a.TB.Fatal(args...)
}

// attempt gives the error on which a fixture's method would end the test.
func (f *fixture) attempt(do func(f *fixture)) (err error) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(failure)
			if !ok {
				panic(r)
			}
			err = e.error
		}
	}()
	g := *f
	g.t = attempting{f.t}
	do(&g)
	return nil
}

// memoryDir is a directory where syncing costs nothing. What a power cut does is worked out, not tried.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "griddle-fault-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// age makes all blobs and temporary files two days older.
func age(t testing.TB, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == "trees" { // whose times are part of them
				return filepath.SkipDir
			}
			return nil
		}
		i, err := d.Info()
		if err != nil {
			return err
		}
		at := i.ModTime().Add(-8 * 24 * time.Hour)
		return os.Chtimes(p, at, at)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// crash carries a scenario through its faults.
type crash struct {
	*testing.T
	scenario
	key     *minisign.SecretKey
	dir     string
	base    string // directory with the store before
	trace   []durabletest.Did
	allowed []string // what images may be there, in the order in which a run without faults has them
	n       int
	checked int
}

func newCrash(t *testing.T, s scenario) *crash {
	c := &crash{T: t, scenario: s, key: imagetest.NewKey(t), dir: memoryDir(t)}
	c.base = c.fresh()
	if s.base != nil {
		f := c.open(durable.Disk{}, c.base)
		c.must(f.s.TrustKey(t.Context(), c.key.Public()))
		s.base(f)
		c.must(os.RemoveAll(filepath.Join(f.dir, "trees"))) // loaded from memory they would not be what they were
	}
	root := c.copied()
	tape := &durabletest.Tape{Root: root}
	if err := c.run(root, tape); err != nil {
		t.Fatalf("without a fault: %v", err)
	}
	c.trace = tape.Ops()
	for n := range len(c.trace) + 1 {
		root := c.fresh()
		c.must(c.disk(c.trace[:n]).Seen(root))
		if got := c.images(root); !slices.Contains(c.allowed, got) {
			c.allowed = append(c.allowed, got)
		}
		os.RemoveAll(root)
	}
	if len(c.allowed) > max(s.states, 2) {
		t.Errorf("it goes over %v, want old and new alone", c.allowed)
	}
	return c
}

func (c *crash) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// fresh is a name for a directory, which is made.
func (c *crash) fresh() string {
	c.n++
	p := filepath.Join(c.dir, fmt.Sprint(c.n))
	c.must(os.Mkdir(p, 0o755))
	return p
}

// disk is the one before, with what was done since.
func (c *crash) disk(ops ...[]durabletest.Did) *durabletest.Disk {
	d, err := durabletest.Load(c.base)
	c.must(err)
	for _, o := range ops {
		d.Apply(o...)
	}
	return d
}

func (c *crash) copied() string {
	root := c.fresh()
	c.must(c.disk().Seen(root))
	return root
}

func (c *crash) open(disk durable.Disk, root string) *fixture {
	dir := filepath.Join(root, "store")
	s, err := imagestore.OpenOn(disk, dir)
	c.must(err)
	s.Key = c.key
	return &fixture{c.T, dir, s, c.key}
}

// run opens the store and does what the scenario does.
func (c *crash) run(root string, tape *durabletest.Tape) error {
	dir := filepath.Join(root, "store")
	s, err := imagestore.OpenOn(tape.Disk(), dir)
	if err != nil {
		return err
	}
	s.Key = c.key
	return c.act(&fixture{c.T, dir, s, c.key})
}

func (c *crash) images(root string) string {
	c.Helper()
	list, err := c.open(durable.Disk{}, root).s.List(c.Context())
	c.must(err)
	return describe(list)
}

// describe lists images and the ways to each.
func describe(list []catalog.Listed) string {
	var out []string
	for _, l := range list {
		for _, s := range l.Streams {
			out = append(out, fmt.Sprintf("%s from %q level %d dictionary %v, %v", l.Ref, s.Parent, s.Level,
				s.Dictionary, s.NoDictionary))
		}
	}
	return fmt.Sprintf("%q", out)
}

// check opens the store below root as after a restart. Old or new must be there whole, or new alone where that was
// reported; after collection nothing else may be there, and what failed must succeed when it is done
// again. It removes root.
func (c *crash) check(what, root string, reported bool) {
	c.Helper()
	c.checked++
	defer os.RemoveAll(root)
	f := c.open(durable.Disk{}, root)
	got := c.whole(what, f)
	switch final := c.allowed[len(c.allowed)-1]; {
	case reported && got != final:
		c.Errorf("%s: the store has %s, though it was reported to have %s", what, got, final)
	case !slices.Contains(c.allowed, got):
		c.Errorf("%s: the store has %s, want one of %v", what, got, c.allowed)
	}
	c.clean(what, root)
	if err := c.act(f); err != nil && !slices.ContainsFunc(c.done, func(e error) bool { return errors.Is(err, e) }) {
		c.Errorf("%s: done again: %v", what, err)
	}
	if got, want := c.whole(what+", done again", f), c.allowed[len(c.allowed)-1]; got != want {
		c.Errorf("%s, done again: the store has %s, want %s", what, got, want)
	}
	c.clean(what+", done again", root)
	if left, err := filepath.Glob(f.beside("spool/*")); err != nil || len(left) > 0 {
		c.Errorf("%s, done again: of copies of the source there are left %v, %v", what, left, err)
	}
}

// whole verifies every image and gives their list.
func (c *crash) whole(what string, f *fixture) string {
	c.Helper()
	list, err := f.s.List(c.Context())
	if err != nil {
		c.Fatalf("%s: %v", what, err)
	}
	for _, l := range list {
		if v, err := f.s.Verify(c.Context(), l.Parsed(), nil); err != nil || !v.OK {
			c.Errorf("%s: %s has %v, %v", what, l.Ref, v.Problems, err)
		}
	}
	if c.site != nil {
		f.head(c.site) // is of this log
	}
	return describe(list)
}

func (c *crash) clean(what, root string) {
	c.Helper()
	clean(c.T, what, filepath.Join(root, "store"))
}

// clean lets a week pass and collects: what is then below the directory of a store is the catalog, the blobs that
// it needs, and trees of its images.
func clean(t *testing.T, what, dir string) {
	t.Helper()
	age(t, dir)
	s, err := imagestore.Open(dir)
	if err == nil {
		s.Catalog.(*catalog.Local).Now = func() time.Time { return time.Now().Add(8 * 24 * time.Hour) }
		_, err = s.Collect(t.Context())
	}
	if err != nil {
		t.Fatalf("%s: collecting: %v", what, err)
	}
	v, err := s.View(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	want := []string{"catalog", "catalog.lock"}
	if _, err := os.Stat(filepath.Join(dir, "catalog.head")); err == nil {
		want = append(want, "catalog.head")
	}
	for d := range v.Needed() {
		want = append(want, filepath.Join("blobs", "sha256", d.Hex()[:2], d.Hex()))
	}
	var got []string
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "trees" || d.Name() == "writers") {
			return filepath.SkipDir
		}
		if err == nil && !d.IsDir() {
			p, _ = filepath.Rel(dir, p)
			got = append(got, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	cleanShelf(t, what, s, v)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%s: after collection there is\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// cleanShelf looks at the trees: each is one of an image, and whole.
func cleanShelf(t *testing.T, what string, s *imagestore.Store, v *catalog.View) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.Dir(), "trees"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	images := map[string]*catalog.Listed{}
	for _, l := range v.Images() {
		images[l.Document.Hex()] = l
	}
	for _, e := range entries {
		name, mark := strings.CutSuffix(e.Name(), imagestore.UsedMark)
		l := images[name]
		switch {
		case name == imagestore.ShelfLock:
		case l == nil:
			t.Errorf("%s: after collection %s is on the shelf", what, e.Name())
		case !mark:
			tree, err := s.HeldTree(t.Context(), l)
			if err != nil || tree == nil {
				t.Fatalf("%s: the tree of %s: %v, %v", what, l.Ref, tree, err)
			}
			if err := content.Verify(t.Context(), tree.Dir, tree.Content, nil); err != nil {
				t.Errorf("%s: the tree of %s: %v", what, l.Ref, err)
			}
			tree.Release()
		}
	}
}

// cuts is how many power cuts are tried after each operation: with nothing, half and all of what was not synced.
const cuts = 3

// TestPowerCut cuts power after each operation of each scenario.
func TestPowerCut(t *testing.T) {
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			c := newCrash(t, s)
			golden(t, filepath.Join("trace", s.name+".txt"), durabletest.Text(c.trace))
			seed := rand.Uint64()
			for n := range c.points(len(c.trace)+1, 1) {
				for i := range cuts * thorough {
					root := c.fresh()
					c.must(c.disk(c.trace[:n]).PowerCut(root, rand.New(rand.NewPCG(seed, uint64(i)<<32|uint64(n))),
						float64(i%cuts)/(cuts-1)))
					c.check(fmt.Sprintf("seed %d, power cut %d after operation %d of %d", seed, i, n, len(c.trace)),
						root, n == len(c.trace))
				}
			}
			t.Logf("%d operations, %d power cuts, seed %d", len(c.trace), c.checked, seed)
		})
	}
}

// errKilled is what every operation of a process gives that is no more.
var errKilled = errors.New("the process is gone")

// TestFailingDisk has each operation of each scenario fail, alone or with all that follow, and has the
// process killed there.
func TestFailingDisk(t *testing.T) {
	// grows are the operations that need room.
	grows := []durable.Kind{durable.Create, durable.Write, durable.Mkdir, durable.Rename, durable.Link}
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			c := newCrash(t, s)
			for _, fault := range []struct {
				name  string
				err   error
				stays bool // everything that follows fails too
				short bool // half of a write is done first
				kinds []durable.Kind
			}{
				{name: "killed", err: errKilled, stays: true},
				{name: "killed in the middle", err: errKilled, stays: true, short: true,
					kinds: []durable.Kind{durable.Write}},
				{name: "EIO", err: syscall.EIO},
				{name: "EIO from then on", err: syscall.EIO, stays: true},
				{name: "ENOSPC", err: syscall.ENOSPC, kinds: grows},
				{name: "short write", err: syscall.ENOSPC, short: true, kinds: []durable.Kind{durable.Write}},
				{name: "full from then on", err: syscall.ENOSPC, short: true, stays: true, kinds: grows},
			} {
				step := 1
				if fault.stays && fault.err != errKilled {
					step = stride
				}
				for n := range c.points(len(c.trace)+1, step) {
					hit := false
					root := c.copied()
					tape := &durabletest.Tape{Root: root, Fault: func(i int, o *durable.Op) error {
						matters := fault.kinds == nil || slices.Contains(fault.kinds, o.Kind)
						hit = hit || i == n
						if i < n || i > n && !fault.stays || !matters && (fault.err != errKilled || i == n) {
							return nil
						}
						if fault.short {
							o.Data = o.Data[:len(o.Data)/2]
						}
						return fault.err
					}}
					err := c.run(root, tape)
					if !hit && err != nil {
						t.Fatalf("%s at operation %d, which was not come to: %v", fault.name, n, err)
					}
					what := fmt.Sprintf("%s at operation %d (%v)", fault.name, n, err)
					c.check(what, root, err == nil)
					if n%stride != 0 && !c.costly {
						continue
					}
					seed := rand.Uint64()
					after := c.fresh()
					c.must(c.disk(tape.Ops()).PowerCut(after, rand.New(rand.NewPCG(seed, 0)), 0.5))
					c.check(fmt.Sprintf("%s, then a power cut by seed %d", what, seed), after, err == nil)
				}
			}
			t.Logf("%d checks", c.checked)
		})
	}
}

// TestKilledThenPowerCut kills the process after each operation, has another one go on with what it sees there, which
// is not on disk yet, and then cuts power.
func TestKilledThenPowerCut(t *testing.T) {
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			c := newCrash(t, s)
			seed := rand.Uint64()
			for n := range c.points(len(c.trace)+1, 1) {
				c.killedThen(n, "done again", c.act, seed)
				if s.base != nil {
					c.killedThen(n,
						"collected", func(f *fixture) error { _, err := f.s.Collect(t.Context()); return err }, seed)
				}
			}
			t.Logf("%d checks, seed %d", c.checked, seed)
		})
	}
}

// killedThen kills the process after operation n, has another one do next, and cuts power at its end and at some other
// moment.
func (c *crash) killedThen(n int, name string, next func(*fixture) error, seed uint64) {
	c.Helper()
	root := c.fresh()
	defer os.RemoveAll(root)
	c.must(c.disk(c.trace[:n]).Seen(root))
	age(c, root) // so that a collection takes what it can
	second := *c
	second.act = next
	tape := &durabletest.Tape{Root: root}
	err := second.run(root, tape)
	if err != nil && !slices.ContainsFunc(c.done, func(e error) bool { return errors.Is(err, e) }) {
		c.Errorf("killed after operation %d and %s: %v", n, name, err)
	}
	reported := name == "done again" && (err == nil || errors.Is(err, catalog.ErrExists))
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	ops := tape.Ops()
	for _, m := range []int{len(ops), r.IntN(len(ops))} {
		after := c.fresh()
		c.must(c.disk(c.trace[:n], ops[:m]).PowerCut(after, r, 0))
		c.check(fmt.Sprintf("seed %d, killed after operation %d, %s (%v), power cut after %d", seed, n, name, err, m),
			after, reported && m == len(ops))
	}
}
