package intake

import (
	"path/filepath"
	"strings"
	"testing"

	"griddle/imagestore/fetch"
	"griddle/initramfs/pool/intake/intaketest"
)

// had is an image that the server knows to be in the pool: it plans no streams.
type had struct{ *intaketest.Image }

func (had) Streams() []fetch.StreamInfo { return nil }

// An image that is in the pool already, as after a power cut, is found without any stream.
func TestNoStreams(t *testing.T) {
	all := versions(t)
	top := empty(t)
	if _, err := Open(top, had{all[0]}); err == nil || !strings.Contains(err.Error(), "the pool lacks it") {
		t.Errorf("Open of an image that the pool lacks = %v", err)
	}
	want := take(t, top, all[0], 1)
	in, err := Open(top, had{all[0]})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := in.Receive(t.Context(), Options{})
	if err != nil || dir != want || in.Has() != want || in.Parent() != "" || in.Raw() != 0 {
		t.Errorf("Receive = %q, %v, want %q", dir, err, want)
	}
	if _, err := Open(top, had{all[0]}, filepath.Base(want)); err == nil {
		t.Error("a damaged image counts as one that the pool has")
	}
}
