package fleet

import (
	"context"
	"database/sql"
	"fmt"
)

// Writable commits a change of the state file that changes nothing, so that it fails where a real change would: on a
// full or broken disk, and on a filesystem that the kernel made read-only. It writes a few KB each time.
func (f *Fleet) Writable(ctx context.Context) error {
	err := f.change(ctx, func(tx *sql.Tx) error {
		var version int
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version))
		return err
	})
	if err != nil {
		return fmt.Errorf("writing %s: %w", f.file, err)
	}
	return nil
}
