package source

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"griddle/imagestore/receive"
	"griddle/imagestore/sendstream"

	"golang.org/x/sys/unix"
)

// maker makes the plain copy of a source that no snapshot can be taken of.
type maker interface {
	// need says how many bytes the copy takes at the least; zero where nothing is known. warn gets what will not be in it.
	need(ctx context.Context, warn func(string)) (int64, error)
	// write writes the copy as a full stream of the name and identity of c.
	write(ctx context.Context, w io.Writer, c *Copy, free int64) error
}

// spoolName is what the spool directory is called below the directory for large temporary files.
const spoolName = "griddle-spool"

// spool says where plain copies lie. /tmp may be small and in memory; /var/tmp is for what is large (hier(7)).
func (o Options) spool() string {
	if o.Spool != "" {
		return o.Spool
	}
	tmp := os.Getenv("TMPDIR")
	if tmp == "" {
		tmp = "/var/tmp"
	}
	return filepath.Join(tmp, spoolName)
}

// private makes the directory of the copies, and makes sure that nobody else has made it in a place where everybody may.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return fmt.Errorf("looking at %s: %w", dir, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return fmt.Errorf("%s is not a directory that only its owner, user %d, can write", dir, os.Geteuid())
	}
	return nil
}

// fillPlain makes the copy as an ordinary directory: as a stream, which the receiver that is made for hostile ones
// keeps below the directory whatever the source says.
func (s *Source) fillPlain(ctx context.Context, c *Copy, warn func(string)) error {
	need, err := s.make.need(ctx, warn)
	if err != nil {
		return err
	}
	free, err := freeBytes(s.keep)
	if err != nil {
		return err
	}
	if need > free {
		return fmt.Errorf("%w: the copy takes at least %s, and %s has %s free; TMPDIR can name another place",
			unix.ENOSPC, mebibytes(need), s.keep, mebibytes(free))
	}
	rand.Read(c.UUID[:])
	c.UUID[6], c.UUID[8] = c.UUID[6]&0x0f|0x40, c.UUID[8]&0x3f|0x80 // RFC 9562, version 4
	c.Ctransid = 1
	var res receive.Result
	for try := 1; ; try++ {
		res, err = pour(ctx, func(ctx context.Context, w io.Writer) error { return s.make.write(ctx, w, c, free) },
			func(ctx context.Context, r io.Reader) (receive.Result, error) {
				return receive.Receive(ctx, r, s.keep, receive.Options{Name: c.Name, Plain: true})
			})
		if err == nil {
			break
		}
		if !errors.Is(err, ErrChanged) || try == attempts {
			return err
		}
		if err := removeCopy(ctx, c.Dir); err != nil {
			return err
		}
	}
	if res.UUID != c.UUID {
		return fmt.Errorf("%w: a stream of %v, want %v", sendstream.ErrMalformed, res.UUID, c.UUID)
	}
	c.Bytes = res.Raw
	return nil
}

// errPoured is what a writer gets whose reader has ended.
var errPoured = errors.New("the reader has ended")

// pour runs two sides of a pipe. Of two errors it gives the one that came first: the other is its echo.
func pour(ctx context.Context, write func(context.Context, io.Writer) error, read func(context.Context, io.Reader) (receive.Result, error)) (receive.Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pr, pw := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		w := bufio.NewWriterSize(pw, 256<<10)
		err := write(ctx, w)
		if err == nil {
			err = w.Flush()
		}
		pw.CloseWithError(err)
		wrote <- err
	}()
	res, err := read(ctx, pr)
	if err == nil {
		return res, <-wrote
	}
	pr.CloseWithError(errPoured)
	select {
	case werr := <-wrote:
		if werr != nil && !errors.Is(werr, errPoured) {
			err = werr
		}
	case <-ctx.Done(): // the writer may wait for standard input; what it does then nobody sees
		err = context.Cause(ctx)
	}
	return receive.Result{}, err
}

func freeBytes(dir string) (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, fmt.Errorf("asking for the room in %s: %w", dir, err)
	}
	return int64(fs.Bavail) * fs.Bsize, nil
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20) }
