package source

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"

	"griddle/imagestore/receive"
	"griddle/imagestore/sendstream"

	"golang.org/x/sys/unix"
)

// maker makes the plain copy of a source that no snapshot can be taken of.
type maker interface {
	// need says how many bytes the copy takes at the least; zero where nothing is known. warn gets
	// what will not be in it.
	need(ctx context.Context, warn func(string)) (int64, error)
	// write writes the copy as a full stream of the name and identity of c.
	write(ctx context.Context, w io.Writer, c *Copy, free int64) error
}

// defaultSpool lies where large temporary files belong: /tmp may be small and in memory (hier(7)).
const defaultSpool = "/var/tmp/griddle-spool"

// spool says where plain copies lie.
func (o Options) spool() string {
	if o.Spool != "" {
		return o.Spool
	}
	return defaultSpool
}

// Private checks that a directory in a place where any user may make one belongs to this user, and that no other user
// can change what is in it.
func Private(dir string) error {
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
		return fmt.Errorf("%w: the copy needs at least %s, and %s has %s free",
			unix.ENOSPC, inUnits(need), s.keep, inUnits(free))
	}
	rand.Read(c.UUID[:])
	c.UUID[6], c.UUID[8] = c.UUID[6]&0x0f|0x40, c.UUID[8]&0x3f|0x80 // RFC 9562, version 4
	c.Ctransid = 1
	var res receive.Result
	total := need
	if s.Dir == "" {
		total = 0 // an archive is compressed: what it takes on the disk says little
	}
	for try := 1; ; try++ {
		res, err = pour(ctx, func(ctx context.Context, w io.Writer) error { return s.make.write(ctx, w, c, free) },
			func(ctx context.Context, r io.Reader) (receive.Result, error) {
				if s.tell != nil {
					r = &told{r: r, total: total, tell: s.tell}
				}
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

// told tells how much of a stream was read.
type told struct {
	r           io.Reader
	done, total int64
	tell        func(done, total int64)
}

func (t *told) Read(b []byte) (int, error) {
	n, err := t.r.Read(b)
	if n > 0 {
		t.done += int64(n)
		t.tell(t.done, t.total)
	}
	return n, err
}

// errPoured is what a writer gets whose reader has ended.
var errPoured = errors.New("the reader has ended")

// pour runs two sides of a pipe. Of two errors it gives the one that came first: the other is its echo. Where the
// reader fails, the writer is not waited for: it may wait for standard input itself, and nobody sees what it does
// then.
func pour(ctx context.Context, write func(context.Context, io.Writer) error,
	read func(context.Context, io.Reader) (receive.Result, error)) (receive.Result, error) {
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
		wrote <- err // before the reader can see it
		pw.CloseWithError(err)
	}()
	res, err := read(ctx, pr)
	if err == nil {
		return res, <-wrote
	}
	select {
	case werr := <-wrote:
		if werr != nil {
			err = werr
		}
	default:
	}
	pr.CloseWithError(errPoured)
	return receive.Result{}, err
}

func freeBytes(dir string) (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, fmt.Errorf("asking for the room in %s: %w", dir, err)
	}
	return int64(fs.Bavail) * fs.Bsize, nil
}

// inUnits shows a number of bytes, so that two that differ look different.
func inUnits(n int64) string {
	if n < 64<<20 {
		return fmt.Sprintf("%d KiB", (n+1<<10-1)>>10)
	}
	return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20)
}
