package imagestore

import (
	"bytes"
	"context"
	"fmt"
	"math/bits"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"

	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/copies"
	"griddle/imagestore/document"
	"griddle/imagestore/durable"
	"griddle/imagestore/head"
	"griddle/imagestore/minisign"
)

// Store is a set of published images, and its methods are all that can be done with them. Any number of goroutines
// may call them, and several processes may have the same directory open.
type Store struct {
	Blobs   blob.Store
	Catalog catalog.Catalog
	Trust   *document.Trust // keys that count beside those that the catalog trusts; never nil after Open

	// Key signs the streams that the store derives; a store without one derives none. The store must trust it.
	Key *minisign.SecretKey

	// Spool is the directory for trees, some gigabytes for a while, that work on a read-only store needs. "" means
	// /var/tmp.
	Spool string

	disk     durable.Disk
	trees    string        // directory of the shelf; "" for none
	readOnly bool          // nothing of it can be written
	copies   copies.File   // of images of a server, on this host
	seen     *head.SeenDir // what was seen of catalogs that were copied from; nil behind a server
}

// Open opens the store in dir, and makes it if it does not exist. A store on a read-only filesystem, or one of
// another user, is opened for reading: changes fail with catalog.ErrReadOnly.
func Open(dir string) (*Store, error) { return openOn(durable.Disk{}, dir) }

func openOn(disk durable.Disk, dir string) (*Store, error) {
	if why := readOnly(dir); why != nil {
		return openReadable(disk, dir, why), nil
	}
	if err := disk.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	disk.Sweep(dir)
	blobs, err := blob.OpenDirOn(disk, filepath.Join(dir, "blobs"))
	if err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	c, err := catalog.OpenLocal(disk, dir, blobs)
	if err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	return openLocal(disk, dir, blobs, c), nil
}

// OpenParts returns a store of these blobs and this catalog, which a server has. copies is a file of this user
// that remembers which copies of the server's images are next to their sources on this host; "" remembers none.
func OpenParts(blobs blob.Store, c catalog.Catalog, all, server string) *Store {
	return &Store{Blobs: blobs, Catalog: c, Trust: &document.Trust{}, copies: copies.File{Path: all, Server: server}}
}

func openLocal(disk durable.Disk, dir string, blobs blob.Store, c *catalog.Local) *Store {
	copies := copies.File{Disk: disk, Path: filepath.Join(dir, "copies")}
	trees := shelf{disk, filepath.Join(dir, "trees"), shelfSize}
	c.Collected, c.Cleared = copies.Prune, trees.sweep
	return &Store{Blobs: blobs, Catalog: c, Trust: c.Trust(), disk: disk, copies: copies, trees: trees.dir,
		seen: head.OpenSeenDirOn(disk, filepath.Join(dir, "seen"))}
}

// Dir is the directory of a local store, "" for a store behind a server.
func (s *Store) Dir() string {
	if c, ok := s.Catalog.(located); ok {
		return c.Dir()
	}
	return ""
}

// Seen remembers the catalogs that were copied from; nil behind a server.
func (s *Store) Seen() *head.SeenDir { return s.seen }

// What the catalog of a local store can do. Without this, a method of another name would be missed
// only by what it does.
var (
	_ located = (*catalog.Local)(nil)
	_ locker  = (*catalog.Local)(nil)
	_ leaser  = (*catalog.Local)(nil)
	_ headed  = (*catalog.Local)(nil)
	_ signer  = (*catalog.Local)(nil)
)

// located is a catalog in a local directory.
type located interface{ Dir() string }

// locker is a catalog that this process can lock: a local one.
type locker interface {
	// Locked calls f while no other process or goroutine changes the catalog, and what was read of it is durable.
	Locked(ctx context.Context, f func() error) error
}

// Settle makes durable what was read: the last lines may be of a process that died before it synced them. Call it
// before you report that there is nothing left to do. A server does it by itself before it answers a change.
func (s *Store) Settle(ctx context.Context) error {
	if c, ok := s.Catalog.(locker); ok {
		return c.Locked(ctx, func() error { return nil })
	}
	return nil
}

// View is the present state of the catalog.
func (s *Store) View(ctx context.Context) (*catalog.View, error) {
	if c, ok := s.Catalog.(offerer); ok && c.Public() {
		return s.Offered(ctx) // without what only a token shows: tombstones and keys
	}
	entries, err := s.Catalog.Read(ctx)
	if err != nil {
		return nil, err
	}
	v, err := catalog.Replay(entries)
	if err != nil {
		return nil, err
	}
	return v.With(s.Trust), nil
}

// offerer is a catalog behind a server, which shows less to those without a token.
type offerer interface {
	Public() bool // there is no token
	Offered(ctx context.Context, others *document.Trust) (*catalog.View, error)
}

// Offered is what the store has for everyone: its images and channels.
func (s *Store) Offered(ctx context.Context) (*catalog.View, error) {
	if c, ok := s.Catalog.(offerer); ok {
		return c.Offered(ctx, s.Trust)
	}
	return s.View(ctx)
}

// Trusted is every key whose signatures count: those of the catalog and those of s.Trust.
func (s *Store) Trusted(ctx context.Context) (*document.Trust, error) {
	v, err := s.View(ctx)
	if err != nil {
		return nil, err
	}
	return v.Trust(s.Trust), nil
}

// PutContent compresses a content manifest and stores it.
func (s *Store) PutContent(ctx context.Context, manifest []byte) (document.Content, error) {
	return s.putText(ctx, "content manifest", manifest)
}

// putText compresses a text that a document is to name, and stores it; what says in errors what it is.
func (s *Store) putText(ctx context.Context, what string, text []byte) (document.Content, error) {
	// As much memory as the text needs, not as the longest one would.
	window := max(zstd.MinWindowSize, min(8<<20, 1<<bits.Len(uint(len(text)))))
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBetterCompression),
		zstd.WithWindowSize(window))
	if err != nil {
		return document.Content{}, fmt.Errorf("putting %s: %w", what, err)
	}
	b := enc.EncodeAll(text, nil)
	d, _, err := s.Blobs.Put(ctx, bytes.NewReader(b), blob.Sum(b))
	if err != nil {
		return document.Content{}, fmt.Errorf("putting %s: %w", what, err)
	}
	return document.Content{Digest: blob.Sum(text), Size: int64(len(text)), Blob: d}, nil
}

// PutImage signs an image document and stores it.
func (s *Store) PutImage(ctx context.Context, m document.Image, k *minisign.SecretKey) (blob.Digest, error) {
	return s.putDocument(ctx, m, k)
}

// PutStream signs a stream document and stores it.
func (s *Store) PutStream(ctx context.Context, m document.Stream, k *minisign.SecretKey) (blob.Digest, error) {
	return s.putDocument(ctx, m, k)
}

func (s *Store) putDocument(ctx context.Context, doc any, k *minisign.SecretKey) (blob.Digest, error) {
	b, err := document.Sign(doc, k, time.Now())
	if err != nil {
		return "", err
	}
	d, _, err := s.Blobs.Put(ctx, bytes.NewReader(b), blob.Sum(b))
	if err != nil {
		return "", fmt.Errorf("putting document: %w", err)
	}
	return d, nil
}

// Add publishes an image: it checks that all documents have trusted signatures and agree with one another, that
// every blob exists, and that each parent does. Then one durable line of the catalog publishes the image; before
// that no one can see it. The error is catalog.ErrExists if the version exists, or did once.
func (s *Store) Add(ctx context.Context, p catalog.Publication) (catalog.Listed, error) {
	c, err := s.Catalog.Change(ctx, catalog.Change{Publish: &p})
	if err != nil {
		return catalog.Listed{}, fmt.Errorf("publishing: %w", err)
	}
	if c.Image == nil {
		return catalog.Listed{}, fmt.Errorf("publishing: the catalog returned no result")
	}
	return *c.Image, nil
}

// TrustKey makes the signatures of k count in this store. A key that is trusted already keeps its limits; Grant
// sets limits. The error is catalog.ErrRevoked if the key was revoked.
func (s *Store) TrustKey(ctx context.Context, k minisign.PublicKey) error {
	if _, err := s.Catalog.Change(ctx, catalog.Change{Trust: k.String()}); err != nil {
		return fmt.Errorf("trusting key %s: %w", k.ID(), err)
	}
	return nil
}
