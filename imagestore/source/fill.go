package source

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// fill makes the copy: as the source is, then with its owners shifted back, then prepared.
func (s *Source) fill(ctx context.Context, c *Copy, warn func(string)) error {
	if err := removeCopy(ctx, c.Dir); err != nil { // left by a publisher that died
		return err
	}
	fill := s.fillPlain
	if c.Snapshot {
		fill = s.snapshot
	}
	if err := fill(ctx, c, warn); err != nil {
		return err
	}
	if s.ids != nil {
		if err := s.ids.apply(ctx, c.Dir); err != nil {
			return err
		}
	}
	if s.prepare != nil {
		if err := s.prepare(ctx, c.Dir); err != nil {
			return fmt.Errorf("preparing the copy: %w", err)
		}
	}
	if !c.Snapshot {
		return nil
	}
	if err := setReadOnly(c.Dir); err != nil {
		return err
	}
	i, err := infoOf(c.Dir)
	c.UUID, c.Ctransid = i.uuid, i.ctransid
	return err
}

// snapshot makes the copy of a subvolume. It is writable until its nested subvolumes are seen to, and so never inherits
// the identity of a source that was itself received.
func (s *Source) snapshot(ctx context.Context, c *Copy, warn func(string)) error {
	if err := run(ctx, "subvolume", "snapshot", s.Dir, c.Dir); err != nil {
		return err
	}
	if s.inside {
		if err := keepMtime(c.Dir, func() error { return os.RemoveAll(filepath.Join(c.Dir, keepName)) }); err != nil {
			return err
		}
	}
	return s.settleNested(ctx, c, warn)
}

// removeCopy removes what is there, if anything, subvolume or directory.
func removeCopy(ctx context.Context, dir string) error {
	if !exists(dir) {
		return nil
	}
	if _, err := infoOf(dir); err == nil {
		return run(ctx, "subvolume", "delete", dir)
	}
	return os.RemoveAll(dir)
}
