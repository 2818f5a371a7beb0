package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"griddle/cloud/provider"
)

const (
	shownConsole = 64 << 10 // bytes that Console returns
	mostConsole  = 8 << 20  // bytes from which a look at the server cuts its file
	oldConsole   = "console.old"
)

// Console implements provider.Consoler.
func (q *QEMU) Console(ctx context.Context, x provider.Resource) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("reading the console of server %q: %w", x.Name, err)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	r, err := q.ours(x)
	if err != nil {
		return fail(err)
	}
	if r == nil || r.Server == nil {
		return fail(provider.ErrNotFound)
	}
	var all []byte
	for _, file := range []string{oldConsole, consoleFile} {
		b, err := tail(filepath.Join(q.serverDir(r), file))
		if err != nil {
			return fail(err)
		}
		all = append(all, b...)
	}
	return all[max(0, len(all)-shownConsole):], nil
}

// tail is the end of a file, nothing for one that is not there.
func tail(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	i, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(f, max(0, i.Size()-shownConsole), shownConsole))
}

// trimConsole keeps what a server writes to its console from filling this machine's disk: the end is put aside, and the
// file, to which QEMU appends, begins anew. What comes in between is lost.
func (q *QEMU) trimConsole(dir string) error {
	file := filepath.Join(dir, consoleFile)
	i, err := os.Stat(file)
	if err != nil || i.Size() <= mostConsole {
		return nil
	}
	b, err := tail(file)
	if err != nil {
		return fmt.Errorf("cutting a console: %w", err)
	}
	if err := q.Disk.Replace(filepath.Join(dir, oldConsole), b, 0o600); err != nil {
		return fmt.Errorf("cutting a console: %w", err)
	}
	return os.Truncate(file, 0)
}
