// Package catalog keeps the append-only log of a store, and answers questions about it: which images, channels,
// keys and rules there are, and the cheapest way to an image.
//
// OpenLocal opens the catalog of a local directory; package remote has one behind a server. Replay turns its
// entries into a View, which answers questions: Resolve a name, Plan the way to an image, PlanRemoval of old
// versions.
//
// The log is one entry to a line:
//
//	+-----------------------------+-----+-------------------+----+
//	| SHA-256 of the JSON, hex 64 | ' ' | JSON of the Entry | \n |
//	+-----------------------------+-----+-------------------+----+
//
// A change is durable when Change returns. After a crash it is there as a whole or not at all: readers skip a torn
// last line, and the next change cuts it off. Several processes may have the same catalog open; each takes the
// lock for a change. An entry of an unknown kind is an error, so that an old program does not misread the log of a
// newer one. The process that has the site's key signs the log after each change (package head).
package catalog

import (
	"context"
	"errors"
	"time"

	"griddle/imagestore/blob"
)

// Errors on which callers branch.
var (
	// ErrNotFound is wrapped if no image has that name.
	ErrNotFound = errors.New("no such image")
	// ErrExists is wrapped if a version is in the catalog, or was and is deleted: versions are never used twice.
	ErrExists = errors.New("version exists")
	// ErrInUse is wrapped by a Change that deletes an image without which others cannot be made.
	ErrInUse = errors.New("image is needed by others")
	// ErrRefused is wrapped if a server refuses something for a reason that this program does not know.
	ErrRefused = errors.New("refused")
	// ErrNoWay is wrapped if no stream makes the image from what the receiver has.
	ErrNoWay = errors.New("no stream makes the image")
)

// ErrReadOnly is wrapped if a change is asked of a store that this process can only read: one on a read-only
// filesystem, or one of another user. The error also wraps the cause, EROFS or EACCES.
var ErrReadOnly = errors.New("the store can only be read here")

// Catalog is the append-only log of a store: package catalog keeps it in a directory, package remote behind a
// server.
type Catalog interface {
	// Read returns every entry, oldest first.
	Read(ctx context.Context) ([]Entry, error)
	// Change makes one change. When it returns without an error the change is durable; with ErrExists, ErrNotFound,
	// ErrInUse or minisign.ErrSignature it was refused; after any other error it may have happened or not.
	Change(ctx context.Context, c Change) (Changed, error)
}

// The kinds of Entry.
const (
	KindPublish = "publish" // Image: a new image
	KindStreams = "streams" // Image: further streams to one that is there
	KindDelete  = "delete"  // Ref: its tombstone
	KindTrust   = "trust"   // Key: the Grant of a public key whose signatures count here from now on; Comment
	KindRevoke  = "revoke"  // Key: a public key whose signatures count here no more
	KindChannel = "channel" // Ref: a template; Channel now means Version, or nothing any more where that is ""

	// KindEncoding replaces one encoding of a stream by others: Image, with the new ones as Streams, and Replaces,
	// the index of the old one.
	KindEncoding = "encoding"
	KindKeep     = "keep" // Keep: a rule, in place of an earlier one for its pattern
)

// Entry is one line of the log.
type Entry struct {
	Seq     int64     `json:"seq"` // from 1, without a gap
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind"`
	Ref     string    `json:"ref,omitempty"`
	Image   *Listed   `json:"image,omitempty"`
	Key     string    `json:"key,omitempty"`
	Comment string    `json:"comment,omitempty"`
	Channel string    `json:"channel,omitempty"`
	Version string    `json:"version,omitempty"`

	Replaces blob.Digest `json:"replaces,omitempty"`
	Keep     *Keep       `json:"keep,omitempty"`
}

// Change asks for one change; exactly one member is set.
type Change struct {
	Publish  *Publication `json:"publish,omitempty"`
	Delete   string       `json:"delete,omitempty"` // a full reference
	Trust    string       `json:"trust,omitempty"`  // the line of a Grant, for a key that is not trusted yet
	Grant    *Granting    `json:"grant,omitempty"`
	Revoke   string       `json:"revoke,omitempty"` // the base64 line of a public key
	Channel  *Channel     `json:"channel,omitempty"`
	Reencode *Reencoding  `json:"reencode,omitempty"`
	Keep     *Keep        `json:"keep,omitempty"`
	Expire   *Expiry      `json:"expire,omitempty"`
	Collect  bool         `json:"collect,omitempty"` // remove blobs that nothing needs and that are a day old
}

// Reencoding replaces one encoding of a stream by others, which are in the store already. All decode to the same
// bytes, which the stream's signed document names.
type Reencoding struct {
	Ref    string        `json:"ref"`    // the image, in full
	Stream blob.Digest   `json:"stream"` // the stream's document
	Old    blob.Digest   `json:"old"`    // index of the encoding that goes
	New    []blob.Digest `json:"new"`    // indexes of those that come; the first one needs no parent's files

	NoDictionary bool `json:"noDictionary,omitempty"` // of the stream: see ListedStream
}

// Channel is a movable name for a version of a template.
type Channel struct {
	Template string `json:"template"` // [namespace/]name
	Name     string `json:"name"`
	Version  string `json:"version,omitempty"` // in a Change: "" removes the channel
}

// Changed is the result of a Change.
type Changed struct {
	Image   *Listed  `json:"image,omitempty"`   // of Publish
	Deleted *Deleted `json:"deleted,omitempty"` // of Delete, Collect and Expire
}

// Publication names the documents of an image, which are in the store already, and the streams that make it. Publishing
// an image document again adds the streams that the image does not have yet.
type Publication struct {
	Image   blob.Digest   `json:"image"`
	Streams []StreamBlobs `json:"streams"`
}

// StreamBlobs names a stream document and the index of one encoding of it.
type StreamBlobs struct {
	Document blob.Digest `json:"document"`
	Index    blob.Digest `json:"index"`
}

// Deleted says what a deletion removed.
type Deleted struct {
	Ref   string `json:"ref,omitempty"`   // in full
	Blobs int    `json:"blobs"`           // how many blobs went
	Files int    `json:"files,omitempty"` // and how many files of blobs that never came whole
	Bytes int64  `json:"bytes"`           // and what they all took

	Digests []blob.Digest `json:"digests,omitempty"` // which, of a rehearsal
}
