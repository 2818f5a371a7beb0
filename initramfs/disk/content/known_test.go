package content

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// silent is a device that does not answer from a byte on.
type silent struct {
	io.ReaderAt
	from int64
}

var errSilent = errors.New("input/output error")

func (s silent) ReadAt(b []byte, at int64) (int, error) {
	if at+int64(len(b)) > s.from {
		return 0, errSilent
	}
	return s.ReaderAt.ReadAt(b, at)
}

// TestKnown has devices that end early, and such as do not answer: what is there is not known then.
func TestKnown(t *testing.T) {
	for _, size := range []int64{0, 1, 512, 4096, 70000, 1 << 20} {
		r := bytes.NewReader(make([]byte, size))
		if kind, id, err := Known(r, size); kind != "" || id != "" || err != nil {
			t.Errorf("%d zeros: Known = %q, %q, %v", size, kind, id, err)
		}
		if kind, id, err := Known(silent{r, size / 2}, size); size > 0 && (kind != "" || id != "" ||
			!errors.Is(err, errSilent)) {
			t.Errorf("%d bytes, the half of which cannot be read: Known = %q, %q, %v", size, kind, id, err)
		}
	}
}
