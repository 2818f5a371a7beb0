package imagestore_test

import (
	"fmt"
	"syscall"
	"testing"

	"griddle/imagestore/durable/durabletest"
)

// TestFailingReads has each read of each scenario fail, alone or with all that follow. What cannot be read is not taken
// for what is not there: nothing is lost, and where something else could be read instead the work was done.
func TestFailingReads(t *testing.T) {
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			c := newCrash(t, s)
			root := c.copied()
			count := &durabletest.Tape{Root: root}
			if err := c.run(root, count); err != nil {
				t.Fatalf("without a fault: %v", err)
			}
			failed := 0
			for _, stays := range []bool{false, true} {
				for n := range c.points(count.Reads(), 1) {
					root := c.copied()
					err := c.run(root, &durabletest.Tape{Root: root, ReadFault: func(i int) error {
						if i == n || stays && i > n {
							return syscall.EIO
						}
						return nil
					}})
					if err != nil {
						failed++
					}
					c.check(fmt.Sprintf("EIO at read %d, and from then on: %v (%v)", n, stays, err), root, err == nil)
				}
			}
			if failed == 0 {
				t.Errorf("none of %d reads mattered", count.Reads())
			}
			t.Logf("%d reads, %d checks, %d times it failed", count.Reads(), c.checked, failed)
		})
	}
}
