package bless_test

import (
	"context"
	"os"
	"testing"
	"time"

	"griddle/initramfs/bless"
	"griddle/initramfs/kexec/attempt"
)

// TestKexec: the first that a root does on trial says that a start by kexec came up, so that a check that fails later
// is not held against kexec. The good root that the firmware started says that it did not.
func TestKexec(t *testing.T) {
	for _, c := range []struct {
		runs, line string
		do         func(context.Context, bless.Options) error
		want       attempt.State
	}{
		{"two", "griddle.try " + attempt.Word, func(ctx context.Context, o bless.Options) error {
			ctx, stop := context.WithCancel(ctx)
			o.Wait = func(context.Context, time.Duration) { stop() }
			return bless.Deadline(ctx, o, time.Hour)
		}, attempt.Worked},
		{"one", "rw", bless.Bless, attempt.Failed},
	} {
		p := newPool(t, c.runs)
		dir, err := os.OpenRoot(p.record())
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		if err := attempt.Write(dir, attempt.Attempt{Root: "two", Boot: "before", State: attempt.Tried}); err != nil {
			t.Fatal(err)
		}
		o := p.options(t, c.runs == "two")
		o.Started.CommandLine = c.line
		if err := c.do(t.Context(), o); err != nil {
			t.Error(err)
		}
		if a, err := attempt.Read(dir); err != nil || a == nil || a.State != c.want {
			t.Errorf("after %q in %s the record says %+v, %v, want %s", c.line, c.runs, a, err, c.want)
		}
	}
}
