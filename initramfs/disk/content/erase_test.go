package content

import (
	"bytes"
	"testing"
)

// TestUnfinishedErase: a disk whose erase was interrupted has a name for that, and is not blank.
func TestUnfinishedErase(t *testing.T) {
	b := make([]byte, 4<<20)
	copy(b, "GRIDDLE ERASE 1\x00")
	c, err := Inspect(bytes.NewReader(b), int64(len(b)), 512)
	if err != nil || c.Signature.Type != "unfinished erase" || !c.Recognised() {
		t.Errorf("%+v, %v", c, err)
	}
}
