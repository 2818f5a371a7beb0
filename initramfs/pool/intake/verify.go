package intake

import (
	"context"

	"griddle/imagestore/content"
)

// Verify compares the image, which the pool has, with its content manifest, as content.Verify does. It does not read
// what Receive read back and what has not changed since.
func (in *Intake) Verify(ctx context.Context, m *content.Manifest, progress func(bytes int64)) error {
	return content.VerifyRest(ctx, in.Has(), m, in.read, progress)
}

// ReadBack is how many bytes of files Receive read back.
func (in *Intake) ReadBack() (n int64) {
	for _, r := range in.read {
		n += r.Size
	}
	return n
}
