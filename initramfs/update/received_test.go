package update_test

import (
	"context"
	"testing"

	"griddle/imagestore/fetch"
	"griddle/initramfs/pool/intake/intaketest"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/update"
)

// had is an image that the server knows to be in the pool: it plans no streams.
type had struct{ *intaketest.Image }

func (had) Streams() []fetch.StreamInfo { return nil }

// An update whose image was received before the power was cut continues without any stream. The image that runs is
// known to run.
func TestReceivedBefore(t *testing.T) {
	one, two := versions(t)
	m := installed(t, pooltest.Loop(t, 1<<30), one)
	m.o.Prepare = true
	if _, err := m.update(t.Context(), t, two); err != nil {
		t.Fatal(err)
	}
	m.o.Prepare = false
	for _, tt := range []struct {
		img  *intaketest.Image
		want update.Result
	}{{two, update.Result{Root: twoRoot}}, {one, update.Result{Root: oneRoot, Current: true}}} {
		m.o.Open = func(context.Context, []string) (update.Image, error) { return had{tt.img}, nil }
		if r, err := m.update(t.Context(), t, tt.img); err != nil || r != tt.want {
			t.Errorf("Run with the image %s in the pool = %+v, %v, want %+v", tt.img.Ref(), r, err, tt.want)
		}
	}
}
