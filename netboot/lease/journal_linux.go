package lease

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// journal is the file of a Pool. append and replace are called with the pool's lock held, so records reach the file in
// the order of their application; the functions that wait for the disk are called without it.
type journal struct {
	path string
	lock *os.File

	mu  sync.Mutex // guards cur
	cur *batch

	flush sync.Mutex // held while writing; guards f
	f     *os.File

	lines  atomic.Int64
	broken atomic.Bool // a write failed: the file's end is unknown until the journal is replaced
}

// batch is what one fdatasync makes durable.
type batch struct {
	buf     []byte
	all     []record // if replacing, what the new journal begins with, before buf
	replace bool
	done    bool
	err     error
}

func openJournal(path string) (j *journal, records []record, dropped int, err error) {
	// The lock is on a file of its own, because replacing the journal changes its inode.
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, 0, fmt.Errorf("opening the lease journal: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, nil, 0, fmt.Errorf("locking %s: another process uses this lease journal", path)
		}
		return nil, nil, 0, fmt.Errorf("locking %s: %w", path, err)
	}
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		lock.Close()
		return nil, nil, 0, fmt.Errorf("reading the lease journal: %w", err)
	}
	records, dropped = parseJournal(b)
	if dropped > 0 {
		os.Remove(path + ".damaged")
		// On a full disk the bad lines are given up rather than the good ones.
		if err := os.Link(path, path+".damaged"); err != nil && !errors.Is(err, unix.ENOSPC) &&
			!errors.Is(err, unix.EDQUOT) {
			lock.Close()
			return nil, nil, 0, fmt.Errorf("keeping the damaged lease journal: %w", err)
		}
	}
	return &journal{path: path, lock: lock, cur: &batch{}}, records, dropped, nil
}

// append queues r; the function it returns waits until r is on the disk. The first to wait writes for all that queued
// before it got the lock.
func (j *journal) append(r record) (wait func() error) {
	j.mu.Lock()
	b := j.cur
	b.buf = append(b.buf, r.line()...)
	j.mu.Unlock()
	j.lines.Add(1)
	return func() error {
		j.flush.Lock()
		defer j.flush.Unlock()
		if !b.done {
			j.mu.Lock()
			j.cur = &batch{}
			j.mu.Unlock()
			b.err = j.commit(b)
			b.done = true
		}
		return b.err
	}
}

// replace makes the current batch a whole new journal; all holds everything applied so far, also what is queued.
func (j *journal) replace(all []record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cur.replace, j.cur.all, j.cur.buf = true, all, nil
}

func (j *journal) commit(b *batch) error {
	if b.replace {
		if err := j.rewrite(b.all); err != nil {
			j.broken.Store(true)
			return err
		}
		if len(b.buf) == 0 {
			return nil
		}
	}
	if err := j.write(b.buf); err != nil {
		return err
	}
	if err := unix.Fdatasync(int(j.f.Fd())); err != nil {
		j.broken.Store(true)
		return fmt.Errorf("syncing %s: %w", j.path, err)
	}
	return nil
}

// write appends buf. Where only a part of it fits on the disk that is cut off again, so that the journal ends with a
// whole record and the next one may fit.
func (j *journal) write(buf []byte) error {
	n, err := j.f.Write(buf)
	if err == nil {
		return nil
	}
	st, serr := j.f.Stat()
	if serr != nil || j.f.Truncate(st.Size()-int64(n)) != nil {
		j.broken.Store(true)
	}
	return err
}

// rewrite puts a journal of just these records in the place of the old one: write, fsync, rename, fsync of the
// directory. Until the rename the old journal is there as it was.
func (j *journal) rewrite(records []record) error {
	tmp := j.path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("rewriting the lease journal: %w", err)
	}
	var buf []byte
	for _, r := range records {
		buf = append(buf, r.line()...)
	}
	_, err = f.Write(buf)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(tmp, j.path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(j.path))
	}
	if err != nil {
		// A part of the new one only takes the room that the old one needs.
		return fmt.Errorf("rewriting the lease journal: %w", errors.Join(err, f.Close(), os.Remove(tmp)))
	}
	if j.f != nil {
		j.f.Close()
	}
	j.f = f
	j.lines.Store(int64(len(records)))
	j.broken.Store(false)
	return nil
}

// keep goes on with the journal as it is, which has lines whole records and nothing else. Where that cannot be opened
// the first record to come replaces it.
func (j *journal) keep(lines int) {
	f, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		j.broken.Store(true)
		return
	}
	j.f = f
	j.lines.Store(int64(lines))
}

func (j *journal) close() error {
	j.flush.Lock()
	defer j.flush.Unlock()
	var err error
	if j.f != nil {
		err = j.f.Close()
	}
	return errors.Join(err, j.lock.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
