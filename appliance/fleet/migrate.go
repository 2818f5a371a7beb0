package fleet

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

// schemaVersion is the number of the newest file in migrations.
const schemaVersion = 12

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the file to schemaVersion. Each step is one transaction that ends with the step's number in
// user_version, so that a power cut leaves the file at one version or the next. A file that is at the newest version
// is only read.
func (f *Fleet) migrate(ctx context.Context) error {
	var have int
	if err := f.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return err
	}
	if have > schemaVersion {
		return fmt.Errorf("it has version %d, and this program can read versions up to %d: "+
			"use the program that wrote it", have, schemaVersion)
	}
	if have == schemaVersion {
		return nil
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, f.db, files, goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("upgrading it from version %d to %d: %w", have, schemaVersion, err)
	}
	return nil
}
