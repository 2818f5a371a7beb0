package head

import (
	"errors"
	"testing"

	"griddle/imagestore/blob"
)

func TestSeenCheck(t *testing.T) {
	a, b := blob.Sum([]byte("a")).Hex(), blob.Sum([]byte("b")).Hex()
	for _, c := range []struct {
		seen Seen
		head Head
		ok   bool
	}{
		{Seen{}, Head{Seq: 0, SHA256: a}, true}, {Seen{Seq: 5}, Head{Seq: 5, SHA256: a}, true},
		{Seen{Seq: 5, SHA256: a}, Head{Seq: 5, SHA256: a}, true},
		{Seen{Seq: 5, SHA256: a}, Head{Seq: 6, SHA256: b}, true},
		{Seen{Seq: 5, SHA256: a}, Head{Seq: 5, SHA256: b}, false},
		{Seen{Seq: 5}, Head{Seq: 4, SHA256: a}, false}, {Seen{Seq: 5, SHA256: a}, Head{Seq: 0, SHA256: a}, false},
	} {
		if err := c.seen.Check(c.head); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrRollback) {
			t.Errorf("%+v.Check(%+v) = %v, want it accepted: %v", c.seen, c.head, err, c.ok)
		}
	}
}
