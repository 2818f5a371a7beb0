package head

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"griddle/imagestore/document"
	"griddle/imagestore/durable"
	"griddle/imagestore/minisign"
)

// Seen is what a user or machine remembers of a site's catalog: the newest head that was accepted.
type Seen struct {
	Key     string    `json:"key"`               // the site's key, base64
	Seq     int64     `json:"seq"`               // of the head
	SHA256  string    `json:"sha256,omitempty"`  // likewise; "" where only the number is known
	Time    time.Time `json:"time,omitzero"`     // likewise
	Servers []string  `json:"servers,omitempty"` // where it was seen: base URL and ServerOptions.Pin
	// the site shows its whole log to those without a token, so that it must from now on
	Log bool `json:"log,omitempty"`
}

// Check returns ErrRollback if h is older than the head that was seen, or has another hash for the same entry.
func (s Seen) Check(h Head) error {
	switch {
	case h.Seq < s.Seq:
		return fmt.Errorf("%w: it ends with entry %d, but entry %d was seen before", ErrRollback, h.Seq, s.Seq)
	case h.Seq == s.Seq && s.SHA256 != "" && h.SHA256 != s.SHA256:
		return fmt.Errorf("%w: other entries up to %d were seen before", ErrRollback, h.Seq)
	}
	return nil
}

// File is the name and the content of the file in which SeenDir remembers s.
func (s Seen) File() (name string, content []byte, err error) {
	k, err := minisign.ParsePublicKey(s.Key)
	if err == nil {
		content, err = document.MarshalLine(s)
	}
	if err != nil {
		return "", nil, fmt.Errorf("remembering the catalog: %w", err)
	}
	return k.ID(), content, nil
}

// SeenDir is a directory that remembers: a file for each site, named by the ID of its key, with a Seen as JSON.
type SeenDir struct {
	disk durable.Disk
	dir  string
}

// OpenSeenDir names the directory; it is made when there is something to remember.
func OpenSeenDir(dir string) *SeenDir { return OpenSeenDirOn(durable.Disk{}, dir) }

// OpenSeenDirOn is OpenSeenDir with the file operations of disk.
func OpenSeenDirOn(disk durable.Disk, dir string) *SeenDir { return &SeenDir{disk: disk, dir: dir} }

// Path is the file of the site with the key k.
func (d *SeenDir) Path(k minisign.PublicKey) string { return filepath.Join(d.dir, k.ID()) }

// Of returns what was seen of the site with the key k, or the zero value.
func (d *SeenDir) Of(k minisign.PublicKey) (Seen, error) {
	s, err := d.read(d.Path(k))
	if err == nil && s.Key != "" && s.Key != k.String() {
		err = fmt.Errorf("%w: %s is of another key with the ID %s", minisign.ErrSignature, d.Path(k), k.ID())
	}
	return s, err
}

// Site returns what was seen of the site whose key has that ID, and the name of its file; the zero value if
// nothing was.
func (d *SeenDir) Site(id string) (Seen, string, error) {
	path := filepath.Join(d.dir, id)
	s, err := d.read(path)
	return s, path, err
}

// At returns what was seen of the site that the server with that name had, and the name of its file.
func (d *SeenDir) At(server string) (Seen, string, error) {
	entries, err := os.ReadDir(d.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return Seen{}, "", nil
	}
	if err != nil {
		return Seen{}, "", fmt.Errorf("reading what was seen of catalogs: %w", err)
	}
	for _, e := range entries {
		if minisign.CheckID(e.Name()) != nil {
			continue
		}
		path := filepath.Join(d.dir, e.Name())
		s, err := d.read(path)
		if err != nil || slices.Contains(s.Servers, server) {
			return s, path, err
		}
	}
	return Seen{}, "", nil
}

func (d *SeenDir) read(path string) (Seen, error) {
	b, err := d.disk.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Seen{}, nil
	}
	var s Seen
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err == nil && s.SHA256 != "" {
		err = document.CheckSHA256(s.SHA256)
	}
	if err != nil {
		return Seen{}, fmt.Errorf("reading what was seen of a catalog: %s: %w", path, err)
	}
	return s, nil
}

// Accept checks h, signed by k, against what was seen of the site, and remembers it, durably, if it is newer.
// server is the name of the server that had it, as in Seen.Servers, or "". sumAt returns the SHA-256, up to an
// entry before the end, of the log that came with h: this log must continue what was seen. sumAt is nil without a
// log.
func (d *SeenDir) Accept(ctx context.Context, server string, k minisign.PublicKey, h Head,
	sumAt func(seq int64) string) error {
	return d.AcceptFrom(ctx, server, k, h, sumAt, false)
}

// AcceptFrom is Accept; shown says that a server sent the log without asking for a token.
func (d *SeenDir) AcceptFrom(ctx context.Context, server string, k minisign.PublicKey, h Head,
	sumAt func(seq int64) string, shown bool) error {
	if err := d.disk.MkdirAll(d.dir, 0o700); err != nil {
		return fmt.Errorf("remembering the catalog: %w", err)
	}
	unlock, err := d.disk.Lock(ctx, filepath.Join(d.dir, "lock"))
	if err != nil {
		return fmt.Errorf("remembering the catalog: %w", err)
	}
	defer unlock()
	s, err := d.Of(k)
	if err != nil {
		return err
	}
	if err := s.Check(h); err != nil {
		return err
	}
	if sumAt != nil && s.SHA256 != "" && h.Seq > s.Seq && sumAt(s.Seq) != s.SHA256 {
		return fmt.Errorf("%w: other entries up to %d were seen before", ErrRollback, s.Seq)
	}
	known := server == "" || slices.Contains(s.Servers, server)
	if known && s.Key != "" && h.Seq == s.Seq && (s.Log || !shown) {
		return nil
	}
	s.Log = s.Log || shown
	s.Key, s.Seq, s.SHA256, s.Time = k.String(), h.Seq, h.SHA256, h.Time
	if !known {
		s.Servers = append(s.Servers, server)
	}
	name, b, err := s.File()
	if err == nil {
		err = d.disk.Replace(filepath.Join(d.dir, name), b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("remembering the catalog: %w", err)
	}
	return nil
}

// Stripped returns ErrRollback if the catalog of one of these sites was seen with a signed head. Call it for a log
// that trusts their keys as keys of sites, and has no signed head now.
func (d *SeenDir) Stripped(sites []minisign.PublicKey) error {
	for _, k := range sites {
		s, err := d.Of(k)
		if err != nil {
			return err
		}
		if s.Key != "" {
			return fmt.Errorf("%w: it is the catalog of site %s, which was signed when it was seen before, "+
				"and has no signed "+
				"head now (%s)", ErrRollback, k.ID(), d.Path(k))
		}
	}
	return nil
}

// CheckLog checks a head, signed by k, against what was seen of the site, and remembers nothing. sumAt returns the
// SHA-256, up to an entry, of the log that came with it: this log must continue what was seen. sumAt is nil
// without a log.
func (d *SeenDir) CheckLog(k minisign.PublicKey, h Head, sumAt func(seq int64) (string, error)) error {
	s, err := d.Of(k)
	if err == nil {
		err = s.Check(h)
	}
	if err != nil || sumAt == nil || s.SHA256 == "" {
		return errAt(err, d.Path(k))
	}
	sum, err := sumAt(s.Seq)
	if err == nil && sum != s.SHA256 {
		err = fmt.Errorf("%w: other entries up to %d were seen before", ErrRollback, s.Seq)
	}
	return errAt(err, d.Path(k))
}

// errAt says which file remembers what a rollback was told by.
func errAt(err error, path string) error {
	if errors.Is(err, ErrRollback) {
		return fmt.Errorf("%w (%s)", err, path)
	}
	return err
}

// Any is the file of a site whose catalog was seen, or "" if none was.
func (d *SeenDir) Any() (string, error) {
	entries, err := os.ReadDir(d.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading what was seen of catalogs: %w", err)
	}
	for _, e := range entries {
		if minisign.CheckID(e.Name()) == nil {
			return filepath.Join(d.dir, e.Name()), nil
		}
	}
	return "", nil
}

// Pinned returns ErrRollback if the server had a signed catalog before, and now has none, or one of another key.
func (d *SeenDir) Pinned(server string, now minisign.PublicKey, signed bool) error {
	s, path, err := d.At(server)
	switch {
	case err != nil || path == "":
		return err
	case !signed:
		return fmt.Errorf("%w: it was signed when it was seen before, and is not now (%s)", ErrRollback, path)
	case s.Key != now.String():
		return fmt.Errorf("%w: it is signed by %s, and was by another key when it was seen before (%s)",
			ErrRollback, now.ID(), path)
	}
	return nil
}
