package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"griddle/imagestore/durable"
	"griddle/imagestore/receive"
	"griddle/imagestore/sendstream"

	"golang.org/x/sys/unix"
)

// publishing ends the name of the file that says that a copy is not published yet.
const publishing = ".publishing"

// Copy is a private copy of a source, which does not change.
type Copy struct {
	Name string // of the subvolume, which is also its name in the stream
	Dir  string
	// a read-only btrfs subvolume, which can be sent and kept; else a plain directory, which is removed at the end
	Snapshot bool
	UUID     sendstream.UUID // of a plain directory: drawn at random
	Ctransid uint64          // of a plain directory: 1
	Bytes    int64           // about the size of a full stream, for a progress bar; zero for kept copies

	lock *os.File // of an own copy its marker, of a kept one itself; holds a flock
}

// RoomError says that there was not enough room for the copy.
type RoomError struct {
	Dir   string // the directory of the copies
	Spool bool   // Dir is Options.Spool, and not beside the source
	err   error
}

// Error implements error.
func (e *RoomError) Error() string { return e.err.Error() }

// Unwrap returns the cause, ENOSPC or EDQUOT.
func (e *RoomError) Unwrap() error { return e.err }

// Take makes a copy of the source. Its name is name, with a number after it if an older copy has that name. warn gets
// a sentence for each nested subvolume that becomes a directory. End the copy with Keep or Discard; if the process
// dies before, the next Collect removes it.
func (s *Source) Take(ctx context.Context, name string, warn func(string)) (*Copy, error) {
	c, err := s.take(ctx, name, warn)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		err = &RoomError{Dir: s.keep, Spool: s.make != nil, err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("copying %s: %w", s.Name, err)
	}
	return c, nil
}

func (s *Source) take(ctx context.Context, name string, warn func(string)) (*Copy, error) {
	if name == "" || strings.ContainsAny(name, "/\x00") || strings.HasPrefix(name, ".") ||
		strings.HasSuffix(name, publishing) {
		return nil, fmt.Errorf("%q cannot be a copy's name", name)
	}
	if err := os.MkdirAll(s.keep, 0o700); err != nil {
		return nil, err
	}
	if s.make != nil {
		if err := Private(s.keep); err != nil {
			return nil, err
		}
	}
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	locked := true
	defer func() {
		if locked {
			unlock()
		}
	}()
	c := &Copy{Name: name, Snapshot: s.make == nil}
	for n := 2; exists(filepath.Join(s.keep, c.Name)) && !exists(filepath.Join(s.keep, c.Name+publishing)); n++ {
		c.Name = fmt.Sprintf("%s+%d", name, n)
	}
	c.Dir = filepath.Join(s.keep, c.Name)
	if c.lock, err = os.OpenFile(c.Dir+publishing, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	if err := flock(c.lock, unix.LOCK_EX); err != nil {
		c.lock.Close()
		return nil, fmt.Errorf("%s %w", name, err)
	}
	if !c.Snapshot {
		// It takes long, and the marker's lock is enough for what is not published from here.
		unlock()
		locked = false
	}
	if err := s.fill(ctx, c, warn); err != nil {
		if locked {
			return nil, errors.Join(err, c.discard())
		}
		return nil, errors.Join(err, c.Discard())
	}
	return c, nil
}

// Keep ends the publication: a snapshot stays, as the parent of the next version. A plain directory is removed.
func (c *Copy) Keep() error { return c.end(c.keep) }

// Discard removes the copy. It works after the context of the publication has ended.
func (c *Copy) Discard() error { return c.end(c.discard) }

// end carries out do while nobody takes a copy: who found the marker just before it went, and opened or made it just
// after, would take the copy beside it for one that a dead publisher left, or hold the lock of a file without a name.
func (c *Copy) end(do func() error) error {
	unlock, err := lockDir(filepath.Dir(c.Dir))
	if err != nil {
		c.lock.Close()
		return err
	}
	defer unlock()
	return do()
}

func (c *Copy) keep() error {
	if !c.Snapshot {
		return c.discard()
	}
	defer c.lock.Close()
	if err := os.Remove(c.Dir + publishing); err != nil {
		return fmt.Errorf("keeping copy: %w", err)
	}
	return durable.Disk{}.SyncDir(filepath.Dir(c.Dir))
}

func (c *Copy) discard() error {
	defer c.lock.Close()
	if err := removeCopy(context.Background(), c.Dir); err != nil {
		return fmt.Errorf("removing copy: %w", err)
	}
	if err := os.Remove(c.Dir + publishing); err != nil {
		return fmt.Errorf("removing copy: %w", err)
	}
	return nil
}

// Kept finds the kept copy with the given identity, and holds it until Release, so that it is not removed meanwhile.
// It is nil if there is none, or if it was changed since.
func (s *Source) Kept(uuid sendstream.UUID, ctransid uint64) (*Copy, error) {
	all, err := s.kept()
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		if c.UUID != uuid || c.Ctransid != ctransid {
			continue
		}
		if c.lock, err = os.Open(c.Dir); err != nil {
			return nil, fmt.Errorf("holding copy: %w", err)
		}
		if err := flock(c.lock, unix.LOCK_SH); err != nil {
			c.lock.Close()
			return nil, nil // it is being removed
		}
		return &c, nil
	}
	return nil, nil
}

// Release ends the hold of Kept.
func (c *Copy) Release() { c.lock.Close() }

// kept lists the copies that no publisher is at work on.
func (s *Source) kept() ([]Copy, error) {
	entries, err := os.ReadDir(s.keep)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing copies: %w", err)
	}
	var out []Copy
	for _, e := range entries {
		dir := filepath.Join(s.keep, e.Name())
		if !e.IsDir() || exists(dir+publishing) {
			continue
		}
		i, err := infoOf(dir)
		if err != nil || !i.readOnly {
			continue // not ours
		}
		out = append(out, Copy{Name: e.Name(), Dir: dir, Snapshot: true, UUID: i.uuid, Ctransid: i.ctransid})
	}
	return out, nil
}

// Collect removes the copies of publications that ended without Keep or Discard. A copy for which published is true
// was published just before its publisher died, and is kept.
func (s *Source) Collect(ctx context.Context, published func(uuid sendstream.UUID, ctransid uint64) bool) error {
	if !exists(s.keep) {
		return nil
	}
	if s.make != nil {
		if err := receive.RemoveLeftovers(s.keep); err != nil { // which takes the lock itself
			return fmt.Errorf("collecting copies: %w", err)
		}
	}
	unlock, err := s.lock()
	if err != nil {
		return fmt.Errorf("collecting copies: %w", err)
	}
	defer unlock()
	markers, _ := filepath.Glob(filepath.Join(escapeGlob(s.keep), "*"+publishing)) // well formed
	var errs []error
	for _, m := range markers {
		c := &Copy{Dir: strings.TrimSuffix(m, publishing)}
		if c.lock, err = os.OpenFile(m, os.O_RDWR, 0); err != nil {
			errs = append(errs, err)
			continue
		}
		if flock(c.lock, unix.LOCK_EX) != nil {
			c.lock.Close() // its publisher lives
			continue
		}
		if i, err := infoOf(c.Dir); err == nil && i.readOnly && published(i.uuid, i.ctransid) {
			c.Snapshot = true
			errs = append(errs, c.keep())
			continue
		}
		errs = append(errs, c.discard())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("collecting copies: %w", err)
	}
	return nil
}

// CollectSpool removes the plain copies of dead publishers in a spool, "" for the default one; Collect does so before
// a publication from there. It changes nothing if there is no spool, or if it belongs to another user.
func CollectSpool(ctx context.Context, spool string) error {
	s := &Source{keep: Options{Spool: spool}.spool(), make: &directory{}}
	if !exists(s.keep) || Private(s.keep) != nil {
		return nil
	}
	return s.Collect(ctx, func(sendstream.UUID, uint64) bool { return false })
}

// Retire removes the kept copies for whose name old is true, except those that are held.
func (s *Source) Retire(ctx context.Context, old func(name string) bool) error {
	all, err := s.kept()
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range all {
		if !old(c.Name) {
			continue
		}
		f, err := os.Open(c.Dir)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if flockSoon(f, unix.LOCK_EX) == nil {
			errs = append(errs, run(ctx, "subvolume", "delete", c.Dir))
		}
		f.Close()
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing older copies: %w", err)
	}
	return nil
}

// lock keeps the other publishers of this place from making, ending and collecting copies.
func (s *Source) lock() (unlock func(), err error) { return lockDir(s.keep) }

func lockDir(path string) (unlock func(), err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

// flock locks f at once or not at all.
func flock(f *os.File, how int) error {
	err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrBusy
	}
	return err
}

// flockSoon tries some times: where a program is just being started, a descriptor of ours, and its lock, live on in
// it for a moment.
func flockSoon(f *os.File, how int) error {
	err := flock(f, how)
	for i := 0; i < 10 && errors.Is(err, ErrBusy); i++ {
		time.Sleep(20 * time.Millisecond)
		err = flock(f, how)
	}
	return err
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}
