package catalog

import (
	"strings"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/ref"
)

// Listed is one image as lists, menus and -o json show it, and as the log keeps it.
type Listed struct {
	Ref         string    `json:"ref"` // in full
	Template    string    `json:"template"`
	Version     string    `json:"version"`
	Arch        string    `json:"arch"`
	Description string    `json:"description,omitempty"`
	Comment     string    `json:"comment,omitempty"`
	Published   time.Time `json:"published"`
	Size        int64     `json:"size"`  // bytes of file contents, without holes
	Files       int64     `json:"files"` // entries of the tree
	// bytes that the cheapest way from nothing fetches; not in the log
	Wire int64 `json:"wire"`
	// the newest version of its template and architecture; not in the log
	Latest   bool     `json:"latest,omitempty"`
	Channels []string `json:"channels,omitempty"` // that mean this version; not in the log
	Signer   string   `json:"signer"`             // ID of the key that signed the image document
	// why that signature does not count, "" where it does; not in the log
	Untrusted string             `json:"untrusted,omitempty"`
	Document  blob.Digest        `json:"document"`
	Identity  document.Identity  `json:"identity"`
	Packages  *document.Packages `json:"packages,omitempty"`
	// a machine needs an image with a kernel too; false too where its publisher did not look
	NoKernel bool           `json:"noKernel,omitempty"`
	Streams  []ListedStream `json:"streams"`
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

	Level      int  `json:"level,omitempty"`      // of the encoding; zero if it is not known
	Dictionary bool `json:"dictionary,omitempty"` // decoding it takes the parent's files

	NoDictionary bool `json:"noDictionary,omitempty"` // these would not make it smaller: it was tried
}

// Parsed is the parsed reference of a listed image; it was checked before it came into the log.
func (l *Listed) Parsed() ref.Ref {
	ns, name, ok := strings.Cut(l.Template, "/")
	if !ok {
		ns, name = "", l.Template
	}
	return ref.Ref{Namespace: ns, Name: name, Version: l.Version, Arch: l.Arch}
}

// EachBlob calls f for each blob that the image needs.
func (l *Listed) EachBlob(f func(blob.Digest)) {
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
