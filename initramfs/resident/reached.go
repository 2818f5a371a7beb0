package resident

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// reachedFile is an empty file in the service's folder: it was changed when the server was reached last.
const reachedFile = "reached"

// How old it may get, and how old it may be for Reached. The disk sleeps meanwhile.
const (
	reachedRest = 30 * time.Minute
	reachedDay  = 24 * time.Hour
)

// Reached reports whether a service with this folder reached the server in the day before now. A clock that was turned
// back does not matter.
func Reached(dir string, now time.Time) bool {
	st, err := os.Stat(filepath.Join(dir, reachedFile))
	return err == nil && now.Sub(st.ModTime()) < reachedDay
}

// noteReached writes down that the server was reached.
func noteReached(dir string, now time.Time) error {
	file := filepath.Join(dir, reachedFile)
	st, err := os.Stat(file)
	if err == nil && now.Sub(st.ModTime()).Abs() < reachedRest {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = os.WriteFile(file, nil, 0o644)
	}
	return errors.Join(err, os.Chtimes(file, now, now))
}
