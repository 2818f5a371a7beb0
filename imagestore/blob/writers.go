package blob

import (
	"bufio"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A blob that no image needs may be one that a publication is about to name, and so stays for a day. But where its
// writer is dead, no one is about to name it. So each process that puts blobs keeps a list of them,
//
//	DIR/writers/NAME    flock(2)ed while its process lives; a line for each blob, "sha256:…",
//	                    and each temporary file, "put-…"
//
// What a server puts for a client is not on it: the client lives on, and counts on it, when the server is started
// again.
//
// The list is a help and no more: it is not synced, and where it cannot be written the day counts.
type writers struct {
	mu      sync.Mutex
	file    *os.File // nil before the first line
	failed  bool     // it cannot be made
	dropped map[Digest]bool
}

// forOthers marks the context of a Put for somebody else than this process.
type forOthers struct{}

func (s *Dir) writersDir() string { return filepath.Join(s.path, "writers") }

// Claim says that this process needs a blob that it found: until the process ends, no other process takes the blob
// for abandoned.
func (s *Dir) Claim(d Digest) { s.note(string(d)) }

// Drop says that this process no longer needs blobs that it put or claimed.
func (s *Dir) Drop(all ...Digest) {
	s.writers.mu.Lock()
	defer s.writers.mu.Unlock()
	if s.writers.dropped == nil {
		s.writers.dropped = map[Digest]bool{}
	}
	for _, d := range all {
		if d != "" {
			s.writers.dropped[d] = true
		}
	}
}

// undrop takes Drop back.
func (s *Dir) undrop(d Digest) {
	s.writers.mu.Lock()
	defer s.writers.mu.Unlock()
	delete(s.writers.dropped, d)
}

// note adds a line to the list of this process.
func (s *Dir) note(line string) {
	w := &s.writers
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.dropped, Digest(line))
	if w.file == nil && !w.failed {
		var err error
		if w.file, err = s.openList(); err != nil {
			w.failed = true
		}
	}
	if w.file != nil {
		w.file.WriteString(line + "\n")
	}
}

// openList makes the list. It gets its name when it is locked: one that is not locked is of a dead process.
func (s *Dir) openList() (*os.File, error) {
	if err := os.Mkdir(s.writersDir(), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	name := rand.Text()
	hidden := filepath.Join(s.writersDir(), ".new-"+name)
	f, err := os.OpenFile(hidden, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
		err = os.Rename(hidden, filepath.Join(s.writersDir(), name))
	}
	if err != nil {
		os.Remove(hidden)
		f.Close()
		return nil, err
	}
	return f, nil
}

// Abandoned is what dead writers left, and what writers dropped.
type Abandoned struct {
	Blobs map[Digest]bool // that no living writer needs
	temps []string        // names in tmp
	lists []string        // names in writers
	dir   *Dir
}

// Abandoned reads the lists of all writers. What cannot be read counts as if it were not there: nothing is abandoned
// then.
func (s *Dir) Abandoned() Abandoned {
	a := Abandoned{Blobs: map[Digest]bool{}, dir: s}
	entries, err := os.ReadDir(s.writersDir())
	if err != nil {
		return a
	}
	s.writers.mu.Lock()
	defer s.writers.mu.Unlock()
	own := ""
	if s.writers.file != nil {
		own = strings.TrimPrefix(filepath.Base(s.writers.file.Name()), ".new-")
	}
	living := map[Digest]bool{}
	for _, e := range entries {
		path := filepath.Join(s.writersDir(), e.Name())
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
		if err != nil {
			continue
		}
		dead := e.Name() != own && unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
		// One that is not locked and has no name yet may be of a writer that is just beginning.
		i, err := f.Stat()
		if dead && err == nil && (!strings.HasPrefix(e.Name(), ".") || time.Since(i.ModTime()) > abandoned) {
			a.lists = append(a.lists, e.Name())
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			d, err := ParseDigest(lines.Text())
			switch {
			case err != nil && dead && strings.HasPrefix(lines.Text(), "put-") &&
				filepath.Base(lines.Text()) == lines.Text():
				a.temps = append(a.temps, lines.Text())
			case err != nil:
			case dead || e.Name() == own && s.writers.dropped[d]:
				a.Blobs[d] = true
			default:
				living[d] = true
			}
		}
		f.Close()
	}
	for d := range living {
		delete(a.Blobs, d)
	}
	return a
}

// Clear removes the temporary files and the lists of dead writers; with dry it only counts the files and their bytes.
func (a Abandoned) Clear(dry bool) (files int, bytes int64, err error) {
	var errs []error
	remove := func(path string) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	for _, name := range a.temps {
		path := filepath.Join(a.dir.path, "tmp", name)
		i, err := os.Lstat(path)
		if err != nil || !i.Mode().IsRegular() {
			continue
		}
		files, bytes = files+1, bytes+i.Size()
		if !dry {
			remove(path)
		}
	}
	if !dry {
		for _, name := range a.lists {
			remove(filepath.Join(a.dir.writersDir(), name))
		}
	}
	return files, bytes, errors.Join(errs...)
}

// ClearParts removes the parts of blobs that no process is fetching now; with dry it only counts them.
func (s *Dir) ClearParts(dry bool) (files int, bytes int64) {
	dir := filepath.Join(s.path, "partial")
	parts, err := os.ReadDir(dir)
	if err != nil {
		return 0, 0
	}
	for _, e := range parts {
		f, err := os.OpenFile(filepath.Join(dir, e.Name()), os.O_RDONLY|unix.O_NOFOLLOW, 0)
		if err != nil {
			continue
		}
		i, err := f.Stat()
		if err == nil && i.Mode().IsRegular() && unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			if dry || s.disk.Remove(f.Name()) == nil {
				files, bytes = files+1, bytes+i.Size()
			}
		}
		f.Close()
	}
	return files, bytes
}
