package catalog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/durable"
)

// logFile is the log in a local file, one entry to a line:
//
//	+-----------------------------+---+-------------------+----+
//	| SHA-256 of the JSON, hex 64 | ' '| JSON of the Entry | \n |
//	+-----------------------------+---+-------------------+----+
//
// A crash in the middle of an append leaves a torn tail: bytes after the last whole line. Readers pass over it, and
// the next append cuts it off. A damaged line with a whole one after it is not that, and is an error.
type logFile struct {
	disk durable.Disk
	path string

	readOnly error // why nothing can be added; nil where something can

	// Called with the lock held and all entries: before others are added, which an error prevents, and after that.
	// Both may be nil.
	before, after func([]Entry) error

	mu      sync.Mutex // guards the cache of what was read
	inode   uint64
	good    int64 // length of the whole lines
	entries []Entry
	sum     hash.Hash // SHA-256 of the whole lines
	// the last of them: another where this one was put in the place of that, or a line that could not
	// be synced was cut off
	last []byte
}

const MaxLine = 4 << 20

// openLog makes the log where it does not exist.
func openLog(disk durable.Disk, path string) (*logFile, error) {
	for _, p := range []string{path, path + ".lock"} {
		f, err := disk.OpenFile(p, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, fmt.Errorf("opening catalog: %w", err)
		}
		f.Close()
	}
	if err := disk.SyncDir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("opening catalog: %w", err)
	}
	return &logFile{disk: disk, path: path}, nil
}

// size is the length of the whole lines that were read last, in bytes.
func (l *logFile) size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.good
}

func (l *logFile) read() ([]Entry, error) {
	f, err := l.disk.OpenFile(l.path, os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("reading catalog: %w", err)
	}
	defer f.Close()
	entries, _, err := l.scan(f)
	return entries, err
}

// logReader is the log, open.
type logReader interface {
	io.ReaderAt
	Stat() (fs.FileInfo, error)
}

// scan reads what was added to f since the last time. It returns all entries and the length of the whole lines.
func (l *logFile) scan(f logReader) ([]Entry, int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, err := f.Stat()
	if err != nil {
		return nil, 0, fmt.Errorf("reading catalog: %w", err)
	}
	st := i.Sys().(*syscall.Stat_t)
	if st.Ino != l.inode || st.Size < l.good || l.sum == nil || !l.same(f) {
		l.inode, l.good, l.entries, l.sum, l.last = st.Ino, 0, nil, sha256.New(), nil
	}
	rest, err := io.ReadAll(io.NewSectionReader(f, l.good, 1<<62-l.good))
	if err != nil {
		return nil, 0, fmt.Errorf("reading catalog: %w", err)
	}
	more, n, err := parseLog(rest, int64(len(l.entries)))
	if err != nil {
		return nil, 0, fmt.Errorf("reading catalog %s: %w", l.path, err)
	}
	l.good += n
	l.sum.Write(rest[:n])
	if n > 0 {
		l.last = bytes.Clone(rest[bytes.LastIndexByte(rest[:n-1], '\n')+1 : n])
	}
	l.entries = append(l.entries[:len(l.entries):len(l.entries)], more...)
	return l.entries, l.good, nil
}

// same says whether f still has the line that was read last.
func (l *logFile) same(f io.ReaderAt) bool {
	b := make([]byte, len(l.last))
	_, err := f.ReadAt(b, l.good-int64(len(b)))
	return len(b) == 0 || err == nil && bytes.Equal(b, l.last)
}

// sync makes the lines that were read durable.
func (l *logFile) sync() error {
	f, err := l.disk.OpenFile(l.path, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("reading catalog: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("reading catalog: %w", err)
	}
	return nil
}

// sumAt is the SHA-256 of the first seq whole lines, in hex.
func (l *logFile) sumAt(seq int64) (string, error) {
	l.mu.Lock()
	all, whole := int64(len(l.entries)), ""
	if seq == all && l.sum != nil {
		whole = hex.EncodeToString(l.sum.Sum(nil))
	}
	l.mu.Unlock()
	if whole != "" {
		return whole, nil
	}
	b, err := l.lines()
	if err != nil {
		return "", err
	}
	end := 0
	for range seq {
		i := bytes.IndexByte(b[end:], '\n')
		if i < 0 {
			return "", fmt.Errorf("reading catalog %s: it has less than %d entries", l.path, seq)
		}
		end += i + 1
	}
	return blob.Sum(b[:end]).Hex(), nil
}

// lines are the whole lines as they are.
func (l *logFile) lines() ([]byte, error) {
	f, err := l.disk.OpenFile(l.path, os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("reading catalog: %w", err)
	}
	defer f.Close()
	_, good, err := l.scan(f)
	if err != nil {
		return nil, err
	}
	b := make([]byte, good)
	if _, err := f.ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("reading catalog: %w", err)
	}
	return b, nil
}

// parseLog reads lines that follow entry number seq. It returns the entries and the length of their lines; what is
// after them is a torn tail.
func parseLog(b []byte, seq int64) (entries []Entry, good int64, err error) {
	for rest := b; ; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			return entries, good, nil
		}
		js, ok := checkLine(rest[:i])
		if !ok {
			for _, line := range bytes.Split(rest[i+1:], []byte("\n")) {
				if _, ok := checkLine(line); ok {
					return nil, 0, fmt.Errorf("entry %d is damaged, and others follow it: restore the file from a copy",
						seq+int64(len(entries))+1)
				}
			}
			return entries, good, nil
		}
		var e Entry
		if err := json.Unmarshal(js, &e); err != nil {
			return nil, 0, fmt.Errorf("entry %d: %w", seq+int64(len(entries))+1, err)
		}
		if want := seq + int64(len(entries)) + 1; e.Seq != want {
			return nil, 0, fmt.Errorf("entry %d is where %d should be: lines are missing", e.Seq, want)
		}
		entries = append(entries, e)
		good += int64(i) + 1
		rest = rest[i+1:]
	}
}

func checkLine(line []byte) (js []byte, ok bool) {
	if len(line) < 2*sha256.Size+2 || len(line) > MaxLine || line[2*sha256.Size] != ' ' {
		return nil, false
	}
	js = line[2*sha256.Size+1:]
	return js, blob.Sum(js).Hex() == string(line[:2*sha256.Size])
}

func formatLine(e Entry) ([]byte, error) {
	js, err := document.MarshalLine(e)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(js[:len(js)-1])
	line := append(hex.AppendEncode(nil, sum[:]), ' ')
	if line = append(line, js...); len(line) > MaxLine {
		return nil, fmt.Errorf("an entry of %d bytes is longer than the %d that a line may have", len(line), MaxLine)
	}
	return line, nil
}

// update runs f with all entries while no other process or goroutine can change the log, and appends what f
// returns. Entries get their number and time here. The fsync at the end makes them durable; a crash before it
// leaves the log as it was, or a torn tail, or, of several entries, the first ones.
func (l *logFile) update(ctx context.Context, f func([]Entry) ([]Entry, error)) error {
	if l.readOnly != nil {
		return fmt.Errorf("%w: %w", ErrReadOnly, l.readOnly)
	}
	unlock, err := l.disk.Lock(ctx, l.path+".lock")
	if err != nil {
		return fmt.Errorf("locking catalog: %w", err)
	}
	defer unlock()
	file, err := l.disk.OpenFile(l.path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("opening catalog: %w", err)
	}
	defer file.Close()
	old, end, err := l.scan(file)
	if err != nil {
		return err
	}
	// The last lines may be of a process that was killed before its fsync. What they say is built on now: blobs are
	// removed, or somebody is told that a version is there already.
	if err := file.Sync(); err != nil {
		return fmt.Errorf("reading catalog: %w", err)
	}
	more, err := f(old)
	if err != nil || len(more) == 0 {
		return err
	}
	if l.before != nil {
		if err := l.before(old); err != nil {
			return fmt.Errorf("appending to catalog: %w", err)
		}
	}
	var last time.Time
	for i, e := range more {
		last = time.Now().UTC().Truncate(time.Millisecond)
		e.Seq, e.Time = int64(len(old)+i+1), last
		line, err := formatLine(e)
		if err != nil {
			return fmt.Errorf("appending to catalog: %w", err)
		}
		// One by one: of two that are not synced a power cut might take the first and leave the second.
		if err := appendAt(file, line, end); err != nil {
			return fmt.Errorf("appending to catalog: %w", err)
		}
		end += int64(len(line))
	}
	if l.after != nil {
		// The change is made: what fails here cannot take it back, and is tried again by whoever asks for the head.
		if all, _, err := l.scan(file); err == nil {
			_ = l.after(all)
		}
	}
	// A blob that is put from now on must be dated later than the entry, which is dated in whole milliseconds.
	time.Sleep(time.Until(last.Add(time.Millisecond)))
	return nil
}

// appendAt cuts f to end, which removes a torn tail, and adds b. Where that fails it cuts f again, so that a
// full disk does not leave half a line for others to pass over.
func appendAt(f *durable.File, b []byte, end int64) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Size() != end {
		if err := f.Truncate(end); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	_, err = f.WriteAt(b, end)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return errors.Join(err, f.Truncate(end))
	}
	return nil
}
