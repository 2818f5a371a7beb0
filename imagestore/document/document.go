// Package document reads, writes and signs the two documents of an image, and says whose signatures count.
//
// Call Sign to make a signed document, OpenImage and OpenStream to check one against a Trust and decode it. An Image is
// what a publisher answers for: name, version, sizes, content manifest. A Stream is what its maker answers for: which
// image the stream makes, from which parent or none, and the SHA-256 of each piece.
//
// A signed document is five lines: the document as JSON on one line, then the four lines of its minisign signature over
// that line, its newline included:
//
//	+---------------------------------------------------------+
//	| {"format":"griddle-image/1","ref":"web:1@amd64",…}   \n | signed
//	+---------------------------------------------------------+
//	| untrusted comment: …                                 \n |
//	| base64: "ED" 2, key ID 8, signature 64               \n |
//	| trusted comment: …                                   \n |
//	| base64: global signature 64                          \n |
//	+---------------------------------------------------------+
//
// so that `head -n1 DOC >m; tail -n+2 DOC >m.minisig; minisign -Vm m -P KEY` checks one by hand. docs/FORMAT.md has
// every member of every document.
//
// A signature counts for what the key's Grant says, until the key is revoked. Documents, texts and counts are bounded.
package document

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
	"griddle/imagestore/sendstream"
)

// The formats of the documents. A reader ignores members that it does not know; a change that it must not ignore
// gets a new format.
const (
	ImageFormat  = "griddle-image/1"
	StreamFormat = "griddle-stream/1"
)

// PieceSize is the length of every piece of a raw stream but the last, in bytes.
const PieceSize = 8 << 20

const (
	MaxSize    = 4 << 20   // bytes of a signed document: 60,000 pieces, half a terabyte of stream
	maxContent = 512 << 20 // bytes of a content manifest: some three million files
	MaxText    = 4096      // bytes of a description or comment
)

// Content names the content manifest of an image (package content).
type Content struct {
	Digest blob.Digest `json:"digest"` // of the manifest's text
	Size   int64       `json:"size"`   // of the text, in bytes
	Blob   blob.Digest `json:"blob"`   // the text as one zstd frame: what a store keeps
}

// Identity says which tree is meant, the same in every document that speaks of it.
type Identity struct {
	Ref string `json:"ref"` // in full: template, version and architecture
	// of the subvolume in every stream that makes this image or parents on it
	UUID     sendstream.UUID `json:"uuid"`
	Ctransid uint64          `json:"ctransid"` // likewise
	Content  Content         `json:"content"`
}

func (id Identity) validate() error {
	r, err := ref.Parse(id.Ref)
	switch {
	case err != nil:
		return err
	case !r.Exact() || r.String() != id.Ref:
		return fmt.Errorf("%w %q: a document needs version and architecture", ref.ErrInvalid, id.Ref)
	case id.UUID.IsZero():
		return errors.New("the UUID is zero")
	case id.Content.Digest == "" || id.Content.Blob == "":
		return errors.New("there is no content manifest")
	case id.Content.Size <= 0 || id.Content.Size > maxContent:
		return fmt.Errorf("a content manifest of %d bytes is not possible", id.Content.Size)
	}
	return nil
}

// Parsed is the parsed reference of an identity that is valid.
func (id Identity) Parsed() ref.Ref {
	r, _ := ref.Parse(id.Ref)
	return r
}

// Image is the signed document of a publisher that describes an image.
type Image struct {
	Format string `json:"format"` // ImageFormat; Sign fills it in
	Identity
	Description string    `json:"description,omitempty"` // one line, for menus
	Comment     string    `json:"comment,omitempty"`     // what is new in this version
	Published   time.Time `json:"published"`             // UTC
	// bytes of the tree's file contents, without holes: what a disk must hold
	Size  int64 `json:"size"`
	Files int64 `json:"files"` // entries of the tree

	Prepared []Prepared `json:"prepared,omitempty"` // what was done to the copy of the source, in this order
	Packages *Packages  `json:"packages,omitempty"` // what is installed in it; nil where no package manager is
	// a machine needs an image with a kernel too: neither /vmlinuz nor /boot/vmlinuz-* is in it
	NoKernel bool      `json:"noKernel,omitempty"`
	Accounts []Account `json:"accounts,omitempty"` // with a password or ssh keys
	// Settings are what a machine gets beside the image where neither its site nor itself has others: a JSON object of
	// at most MaxSettings bytes, without secrets, since images are public. The server gives it a meaning.
	Settings json.RawMessage `json:"settings,omitempty"`
}

func (m Image) validate() error {
	if m.Format != ImageFormat {
		return fmt.Errorf("format is %.40q, want %q", m.Format, ImageFormat)
	}
	if m.Size < 0 || m.Files < 0 {
		return errors.New("a size is negative")
	}
	if len(m.Description) > MaxText || len(m.Comment) > MaxText {
		return fmt.Errorf("description or comment is longer than %d bytes", MaxText)
	}
	if err := validatePrepared(m.Prepared); err != nil {
		return err
	}
	err := errors.Join(m.Packages.validate(), validateAccounts(m.Accounts), validateSettings(m.Settings))
	if err != nil {
		return err
	}
	return m.Identity.validate()
}

// Stream is the signed document that describes a stream. Its maker signs it: the publisher, or a site that derived
// it.
type Stream struct {
	Format    string    `json:"format"`           // StreamFormat; Sign fills it in
	Image     Identity  `json:"image"`            // what the stream makes
	Parent    *Identity `json:"parent,omitempty"` // what it needs; none for a full stream
	Raw       int64     `json:"raw"`              // bytes of the plain send stream
	PieceSize int64     `json:"pieceSize"`        // always PieceSize
	Pieces    []string  `json:"pieces"`           // SHA-256 of each piece, 64 lower-case hex digits
}

func (s Stream) validate() error {
	switch {
	case s.Format != StreamFormat:
		return fmt.Errorf("format is %.40q, want %q", s.Format, StreamFormat)
	case s.PieceSize != PieceSize:
		return fmt.Errorf("pieces of %d bytes are not known, only of %d", s.PieceSize, PieceSize)
	case s.Raw <= 0 || int64(len(s.Pieces)) != PieceCount(s.Raw):
		return fmt.Errorf("%d pieces do not make %d bytes", len(s.Pieces), s.Raw)
	}
	for i, p := range s.Pieces {
		if err := CheckSHA256(p); err != nil {
			return fmt.Errorf("piece %d: %w", i, err)
		}
	}
	if err := s.Image.validate(); err != nil {
		return err
	}
	if s.Parent == nil {
		return nil
	}
	if err := s.Parent.validate(); err != nil {
		return fmt.Errorf("parent: %w", err)
	}
	if s.Parent.Ref == s.Image.Ref {
		return errors.New("the image is its own parent")
	}
	return nil
}

// HasParent says whether the stream is a delta from the image name, or, if name is "", a full stream.
func (s Stream) HasParent(name string) bool {
	if s.Parent == nil {
		return name == ""
	}
	return s.Parent.Ref == name
}

func PieceCount(raw int64) int64 { return (raw + PieceSize - 1) / PieceSize }

func CheckSHA256(s string) error {
	var b [32]byte
	if n, err := hex.Decode(b[:], []byte(s[:min(len(s), 64)])); err != nil || n != 32 || len(s) != 64 ||
		hex.EncodeToString(b[:]) != s {
		return fmt.Errorf("%.80q is not a SHA-256 of 64 lower-case hex digits", s)
	}
	return nil
}

// Sign makes the blob of a signed document. doc is an Image or a Stream; its Format is filled in, the rest is
// checked. The trusted comment says what was signed and when.
func Sign(doc any, k *minisign.SecretKey, now time.Time) ([]byte, error) {
	var err error
	var what string
	switch d := doc.(type) {
	case Image:
		d.Format, d.Published = ImageFormat, d.Published.UTC()
		doc, err, what = d, d.validate(), "image "+d.Ref
	case Stream:
		d.Format, d.PieceSize = StreamFormat, PieceSize
		doc, err, what = d, d.validate(), "stream "+d.Image.Ref
		if d.Parent != nil {
			what += " from " + d.Parent.Ref
		}
	default:
		err = fmt.Errorf("a %T is not a document", doc)
	}
	if err != nil {
		return nil, fmt.Errorf("signing document: %w", err)
	}
	line, err := MarshalLine(doc)
	if err != nil {
		return nil, fmt.Errorf("signing document: %w", err)
	}
	comment := fmt.Sprintf("griddle %s timestamp:%d", what, now.Unix())
	out := append(line, k.Sign(line, comment)...)
	if len(out) > MaxSize {
		return nil, fmt.Errorf("signing document: %d bytes are more than the %d that readers accept", len(out), MaxSize)
	}
	return out, nil
}

// MarshalLine is the one form in which documents and indexes are written: members in the order of the struct, no
// spaces, no HTML escapes, one newline at the end.
func MarshalLine(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// Open splits a signed document, checks its signature and decodes its first line into doc.
func Open(b []byte, t *Trust, doc any) (Grant, error) {
	if len(b) > MaxSize {
		return Grant{}, fmt.Errorf("%d bytes are more than a document may have", len(b))
	}
	i := bytes.IndexByte(b, '\n') + 1
	if i == 0 {
		return Grant{}, fmt.Errorf("%w: the document has only one line", minisign.ErrSignature)
	}
	var grant Grant
	err := minisign.Verify(b[:i], b[i:], func(id string) (minisign.PublicKey, error) {
		var err error
		grant, err = t.Find(id)
		return grant.key, err
	})
	if err != nil {
		return Grant{}, err
	}
	if err := json.Unmarshal(b[:i], doc); err != nil {
		return Grant{}, fmt.Errorf("decoding: %w", err)
	}
	return grant, nil
}

// OpenImage checks an image document against the keys of t, and what they may sign, and decodes it. It returns the key
// that signed.
func OpenImage(b []byte, t *Trust) (Image, minisign.PublicKey, error) {
	var m Image
	grant, err := Open(b, t, &m)
	if err == nil {
		err = m.validate()
	}
	if err == nil {
		err = grant.Image(m.Parsed())
	}
	if err != nil {
		return Image{}, minisign.PublicKey{}, fmt.Errorf("reading image document: %w", err)
	}
	return m, grant.key, nil
}

// OpenStream checks a stream document against the keys of t, and what they may sign, and decodes it. It returns the key
// that signed.
func OpenStream(b []byte, t *Trust) (Stream, minisign.PublicKey, error) {
	var s Stream
	grant, err := Open(b, t, &s)
	if err == nil {
		err = s.validate()
	}
	if err == nil {
		err = grant.Stream(s.Image.Parsed())
	}
	if err != nil {
		return Stream{}, minisign.PublicKey{}, fmt.Errorf("reading stream document: %w", err)
	}
	return s, grant.key, nil
}
