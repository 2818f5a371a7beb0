// Package blob keeps immutable byte strings, each named by its SHA-256.
//
// Call OpenDir for a local directory, or fill in an HTTP for a server; both are a Store. Code that only reads takes a
// Reader. Handler serves any Store to HTTP clients.
//
// A blob's name is
//
//	sha256:0123456789abcdef…      "sha256:" and 64 lower-case hex digits
//
// and a Dir keeps it in the file sha256/01/0123456789abcdef… (the two digits keep directories small).
//
// Guarantees. When Put returns without an error the blob is whole, has the returned digest and, in a Dir, survives a
// power cut (see Dir.Put for the order of system calls). A Put that fails or is killed leaves no blob of that name,
// at most a temporary file which OpenDir removes when it is a day old. Putting a blob that exists changes only its
// time. All methods may be called from any number of goroutines and processes. Reading does not verify, since a range
// cannot be verified alone: the caller does that, or calls ReadAll.
package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// ErrNotExist is wrapped by the errors of Open, Stat and Delete if there is no such blob.
var ErrNotExist = errors.New("no such blob")

// ErrMismatch is wrapped if bytes do not have the digest or the length that their name says.
var ErrMismatch = errors.New("content does not match its digest")

// ErrRange is wrapped if a blob ends before the offset to read from.
var ErrRange = errors.New("offset is past the end")

// ErrTooLong is wrapped by ReadAll for a blob that is longer than the caller allows.
var ErrTooLong = errors.New("too long")

// ErrDenied is wrapped if a server refuses a write, or the list, without a valid token.
var ErrDenied = errors.New("not allowed")

// ErrServer is wrapped if a server failed, or is not a server of blobs: the answer says nothing about the blob.
var ErrServer = errors.New("the server failed")

// Digest names a blob: "sha256:" and 64 lower-case hex digits. The empty Digest names none.
type Digest string

const prefix = "sha256:"

// Sum returns the digest of b.
func Sum(b []byte) Digest {
	s := sha256.Sum256(b)
	return FromSum(s[:])
}

// FromSum returns the digest with the given 32 bytes of SHA-256.
func FromSum(sum []byte) Digest { return Digest(prefix + hex.EncodeToString(sum)) }

// ParseDigest checks that s is a digest: "sha256:" and 64 lower-case hex digits.
func ParseDigest(s string) (Digest, error) {
	h, ok := strings.CutPrefix(s, prefix)
	if !ok || len(h) != 2*sha256.Size {
		return "", fmt.Errorf("parsing digest %.80q: want sha256: and 64 hex digits", s)
	}
	for _, c := range []byte(h) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", fmt.Errorf("parsing digest %.80q: %q is not a lower-case hex digit", s, c)
		}
	}
	return Digest(s), nil
}

// Hex returns the 64 digits of a valid digest.
func (d Digest) Hex() string { return strings.TrimPrefix(string(d), prefix) }

// UnmarshalText is ParseDigest for encoding/json; an empty text gives the empty digest.
func (d *Digest) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*d = ""
		return nil
	}
	*d, err = ParseDigest(string(b))
	return err
}

// Reader reads blobs.
type Reader interface {
	// Open reads n bytes of d from offset off, or all that follow if n is negative. A range that goes past the end is
	// cut there; an offset past the end gives ErrRange. The caller closes the result. ErrNotExist if there is no d.
	Open(ctx context.Context, d Digest, off, n int64) (io.ReadCloser, error)
	// Stat returns the length of d in bytes, or ErrNotExist.
	Stat(ctx context.Context, d Digest) (int64, error)
}

// Store keeps blobs.
type Store interface {
	Reader
	// Put stores the bytes of r and returns their digest and length. If want is not empty, bytes with another digest
	// are not kept, and give ErrMismatch.
	Put(ctx context.Context, r io.Reader, want Digest) (Digest, int64, error)
	// List calls f for every blob, in the order of digests, until f fails.
	List(ctx context.Context, f func(Info) error) error
	// Delete removes d; ErrNotExist if there is no d.
	Delete(ctx context.Context, d Digest) error
}

// Info is one line of a List.
type Info struct {
	Digest Digest    `json:"digest"`
	Size   int64     `json:"size"` // bytes
	Time   time.Time `json:"time"` // of the last Put
}

// ReadAll returns all of d, verified. It gives ErrTooLong, before it reads, if d is longer than max bytes, and
// ErrMismatch if the bytes do not match the name.
func ReadAll(ctx context.Context, r Reader, d Digest, max int64) ([]byte, error) {
	rc, err := r.Open(ctx, d, 0, -1)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	b, err := io.ReadAll(io.LimitReader(rc, max+1))
	if err != nil {
		return nil, fmt.Errorf("reading blob %s: %w", d, err)
	}
	if int64(len(b)) > max {
		return nil, fmt.Errorf("reading blob %s: %w: more than the %d bytes allowed here", d, ErrTooLong, max)
	}
	if got := Sum(b); got != d {
		return nil, fmt.Errorf("reading blob %s: %w: got %s", d, ErrMismatch, got)
	}
	return b, nil
}

// checkRange is what every Open does with its arguments once the size is known: it returns the number of bytes to
// read.
func checkRange(d Digest, off, n, size int64) (int64, error) {
	if off < 0 || off > size {
		return 0, fmt.Errorf("reading blob %s: %w: %d of %d bytes", d, ErrRange, off, size)
	}
	if n < 0 || n > size-off {
		n = size - off
	}
	return n, nil
}
