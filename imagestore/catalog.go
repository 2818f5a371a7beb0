package imagestore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/ref"
)

// Catalog is the append-only log that says what a store has.
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

	// KindEncoding puts other encodings of one stream in the place of an old one: Image, with the new ones as Streams,
	// and Replaces, the index of the old one.
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

// Reencoding puts other encodings of a stream, which are in the store already, in the place of one. All decode to the same
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

// Changed is what came of a Change.
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

// Listed is one image as lists, menus and -o json show it, and as the log keeps it.
type Listed struct {
	Ref         string             `json:"ref"` // in full
	Template    string             `json:"template"`
	Version     string             `json:"version"`
	Arch        string             `json:"arch"`
	Description string             `json:"description,omitempty"`
	Comment     string             `json:"comment,omitempty"`
	Published   time.Time          `json:"published"`
	Size        int64              `json:"size"`                // bytes of file contents, without holes
	Files       int64              `json:"files"`               // entries of the tree
	Wire        int64              `json:"wire"`                // bytes that the cheapest way from nothing fetches; not in the log
	Latest      bool               `json:"latest,omitempty"`    // the newest version of its template and architecture; not in the log
	Channels    []string           `json:"channels,omitempty"`  // that mean this version; not in the log
	Signer      string             `json:"signer"`              // ID of the key that signed the image document
	Untrusted   string             `json:"untrusted,omitempty"` // why that signature does not count, "" where it does; not in the log
	Document    blob.Digest        `json:"document"`
	Identity    document.Identity  `json:"identity"`
	Packages    *document.Packages `json:"packages,omitempty"`
	NoKernel    bool               `json:"noKernel,omitempty"` // no machine can be installed with it; false too where its publisher did not look
	Streams     []ListedStream     `json:"streams"`
}

// ListedStream is one way to an image.
type ListedStream struct {
	Parent   string      `json:"parent,omitempty"` // full reference; "" for a full stream
	Raw      int64       `json:"raw"`              // bytes, decoded
	Wire     int64       `json:"wire"`             // bytes, encoded
	Signer   string      `json:"signer"`
	Document blob.Digest `json:"document"`
	Index    blob.Digest `json:"index"`
	Encoding blob.Digest `json:"encoding"`

	Level      int  `json:"level,omitempty"`      // of the encoding; zero where nobody said
	Dictionary bool `json:"dictionary,omitempty"` // decoding it takes the parent's files

	NoDictionary bool `json:"noDictionary,omitempty"` // these would not make it smaller: it was tried
}

// ref is the parsed reference of a listed image; it was checked before it came into the log.
func (l *Listed) ref() ref.Ref {
	ns, name, ok := strings.Cut(l.Template, "/")
	if !ok {
		ns, name = "", l.Template
	}
	return ref.Ref{Namespace: ns, Name: name, Version: l.Version, Arch: l.Arch}
}

// blobs calls f for each blob that the image needs.
func (l *Listed) blobs(f func(blob.Digest)) {
	f(l.Document)
	f(l.Identity.Content.Blob)
	if l.Packages != nil {
		f(l.Packages.Blob)
	}
	for _, s := range l.Streams {
		f(s.Document)
		f(s.Index)
		f(s.Encoding)
	}
}

// replay computes the view. An entry of a kind that is not known is an error: a log written by a newer program
// must not be misread.
func replay(entries []Entry) (*view, error) {
	v := &view{images: map[string]*Listed{}, gone: map[string]*Listed{}, channels: map[string]map[string]string{}, retired: map[blob.Digest]time.Time{}}
	for i := range entries {
		if err := v.apply(&entries[i]); err != nil {
			return nil, fmt.Errorf("reading catalog entry %d: %w", entries[i].Seq, err)
		}
	}
	v.complete()
	return v, nil
}

func (v *view) apply(e *Entry) error {
	v.entries = e.Seq
	switch e.Kind {
	case KindPublish:
		if e.Image == nil {
			return fmt.Errorf("it publishes nothing")
		}
		l := *e.Image
		r, err := ref.Parse(l.Ref)
		if err != nil {
			return err
		}
		if !r.Exact() || r.Template() != l.Template || r.Version != l.Version || r.Arch != l.Arch {
			return fmt.Errorf("%w %q: it is not in full", ref.ErrInvalid, l.Ref)
		}
		l.Streams = slices.Clone(l.Streams)
		v.images[l.Ref] = &l
	case KindStreams:
		if e.Image == nil || v.images[e.Image.Ref] == nil {
			return fmt.Errorf("it adds streams to no image")
		}
		l := v.images[e.Image.Ref]
		l.Streams = append(l.Streams, e.Image.Streams...)
	case KindEncoding:
		if e.Image == nil || v.images[e.Image.Ref] == nil {
			return fmt.Errorf("it encodes streams of no image")
		}
		l := v.images[e.Image.Ref]
		i := slices.IndexFunc(l.Streams, func(s ListedStream) bool { return s.Index == e.Replaces })
		if i < 0 {
			return fmt.Errorf("it replaces an encoding that is not there")
		}
		v.retired[l.Streams[i].Index], v.retired[l.Streams[i].Encoding] = e.Time, e.Time
		l.Streams = append(slices.Delete(slices.Clone(l.Streams), i, i+1), e.Image.Streams...)
	case KindDelete:
		if l := v.images[e.Ref]; l != nil {
			v.gone[e.Ref] = l
			delete(v.images, e.Ref)
		}
	case KindTrust:
		return v.keys.allow(e)
	case KindRevoke:
		return v.keys.revoke(e)
	case KindChannel:
		if v.channels[e.Ref] == nil {
			v.channels[e.Ref] = map[string]string{}
		}
		v.channels[e.Ref][e.Channel] = e.Version
		if e.Version == "" {
			delete(v.channels[e.Ref], e.Channel)
		}
	case KindKeep:
		return v.keep(e.Keep)
	default:
		return fmt.Errorf("kind %.40q is not known to this version of the program", e.Kind)
	}
	return nil
}

// complete fills in what the log does not hold.
func (v *view) complete() {
	newest := map[string]*Listed{}
	v.mark()
	ways := v.usable().ways(nil)
	for _, l := range v.images {
		l.Wire, l.Latest, l.Channels = ways[l.Ref].cost, false, nil
		for c, version := range v.channels[l.Template] {
			if version == l.Version {
				l.Channels = append(l.Channels, c)
			}
		}
		slices.Sort(l.Channels)
		key := l.Template + "@" + l.Arch
		if n := newest[key]; n == nil || ref.CompareVersions(l.Version, n.Version) > 0 {
			newest[key] = l
		}
	}
	for _, l := range newest {
		l.Latest = true
	}
}

// needed is every blob of every live image.
func (v *view) needed() map[blob.Digest]bool {
	out := map[blob.Digest]bool{}
	for _, l := range v.images {
		l.blobs(func(d blob.Digest) { out[d] = true })
	}
	return out
}
