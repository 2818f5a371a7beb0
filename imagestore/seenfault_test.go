package imagestore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/durable"
	"griddle/imagestore/durable/durabletest"
	"griddle/imagestore/head"
	"griddle/imagestore/imagetest"
)

// TestSeenFaults has each operation and each read of what remembers a catalog fail, kills the process there, and cuts
// power after each operation: what is remembered is the old head or the new one, and the new one where that was said.
func TestSeenFaults(t *testing.T) {
	key := imagetest.NewKey(t).Public()
	h := func(seq int64) head.Head {
		return head.Head{Seq: seq, SHA256: blob.Sum([]byte(fmt.Sprint(seq))).Hex(), Time: time.Unix(1.7e9+seq, 0).UTC()}
	}
	accept := func(d durable.Disk, root string, seq int64) error {
		dir := head.OpenSeenDirOn(d, filepath.Join(root, "griddle", "seen"))
		return dir.Accept(t.Context(), "https://server", key, h(seq), nil)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, old := range []int64{0, 3} { // nothing yet, or an older one
		base := memoryDir(t)
		if old > 0 {
			must(accept(durable.Disk{}, base, old))
		}
		fresh := func(ops []durabletest.Did, cut bool) string {
			root := memoryDir(t)
			d, err := durabletest.Load(base)
			must(err)
			d.Apply(ops...)
			if cut {
				must(d.PowerCut(root, rand.New(rand.NewPCG(rand.Uint64(), 0)), rand.Float64()))
			} else {
				must(d.Seen(root))
			}
			return root
		}
		check := func(what, root string, reported bool) {
			t.Helper()
			s, err := head.OpenSeenDir(filepath.Join(root, "griddle", "seen")).Of(key)
			if err != nil || s.Seq != 7 && (s.Seq != old || reported) {
				t.Errorf("%s: it remembers entry %d, %v; reported: %v", what, s.Seq, err, reported)
			}
			must(accept(durable.Disk{}, root, 7))
			if err := accept(durable.Disk{}, root, 6); !errors.Is(err, head.ErrRollback) {
				t.Errorf("%s, done again: an older head is %v, want ErrRollback", what, err)
			}
		}
		root := fresh(nil, false)
		tape := &durabletest.Tape{Root: root}
		must(accept(tape.Disk(), root, 7))
		ops := tape.Ops()
		for n := range len(ops) + 1 {
			for range 5 * thorough {
				check(fmt.Sprintf("power cut after operation %d of %d", n, len(ops)),
					fresh(ops[:n], true), n == len(ops))
			}
			for _, stays := range []bool{false, true} {
				fault := func(i int) error {
					if i == n || stays && i > n {
						return syscall.EIO
					}
					return nil
				}
				root := fresh(nil, false)
				tape := &durabletest.Tape{Root: root, Fault: func(i int, _ *durable.Op) error { return fault(i) }}
				err := accept(tape.Disk(), root, 7)
				check(fmt.Sprintf("EIO at operation %d (%v)", n, err), root, err == nil)
				check(fmt.Sprintf("EIO at operation %d (%v), then a power cut", n, err),
					fresh(tape.Ops(), true), err == nil)
				root = fresh(nil, false)
				err = accept((&durabletest.Tape{Root: root, ReadFault: fault}).Disk(), root, 7)
				check(fmt.Sprintf("EIO at read %d (%v)", n, err), root, err == nil)
				os.RemoveAll(root)
			}
		}
	}
}
