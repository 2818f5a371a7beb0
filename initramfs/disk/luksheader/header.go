// Package luksheader reads the binary header of a LUKS2 volume, and changes the one text in it that is free for others:
// the subsystem. No key is needed for that.
//
// Call Read with a partition, and SetSubsystem to change it.
//
//	0         6          8         16         24        72          104       168      208           256       448
//	+---------+----------+---------+----------+---------+-----------+---------+--------+-------------+---------+------+
//	| magic,  | version, | size of | sequence | label,  | kind of   | salt,   | UUID,  | subsystem,  | offset, | sum, |
//	| 6       | 2        | all, 8  | ID, 8    | 48      | sum, 32   | 64      | 40     | 48          | 8       | 64   |
//	+---------+----------+---------+----------+---------+-----------+---------+--------+-------------+---------+------+
//
// Numbers are big endian. The first 4096 bytes are this, and the rest of the size is JSON; the SHA-256 is that of both,
// with zeros in its place. The volume begins with two such copies, and the second one follows the first: what is
// whole and has the higher sequence ID counts.
//
// # What it guarantees
//
// SetSubsystem writes one copy after the other, and the one that counts last: after a power cut the volume has the old
// text or the new one, and the rest of what its header says. cryptsetup repairs the copy that was being written.
//
// Bytes from outside give a Header or nothing: what is read is within bounds, and the sum must be right.
//
// Source: LUKS2 On-Disk Format Specification 1.1.1, chapters 2 and 3; cryptsetup's lib/luks2/luks2_disk_metadata.c.
package luksheader

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// Places in a copy.
const (
	versionAt, sizeAt, sequenceAt, labelAt, algorithmAt = 6, 8, 16, 24, 72
	uuidAt, subsystemAt, offsetAt, sumAt, sumSize       = 168, 208, 256, 448, 64

	binarySize = 4096
	version    = 2
)

// MaxSubsystem is how many bytes a subsystem can have.
const MaxSubsystem = 47

// sizes are those that a copy can have, in bytes.
func sizes() []int64 {
	return []int64{16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20}
}

// magics are those of the first copy and of the second one.
var magics = [2]string{"LUKS\xba\xbe", "SKUL\xba\xbe"}

// Header is what a volume says of itself. Its texts are hostile.
type Header struct {
	UUID      string
	Label     string
	Subsystem string
	Tokens    []string // the types of its tokens, such as "systemd-tpm2", in their order; nil if it has none
}

// Volume is the device of a volume.
type Volume interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// Read reads the header of a volume. ok is false if it has none that is whole.
func Read(r io.ReaderAt) (h Header, ok bool) {
	b := newest(copies(r))
	if b == nil {
		return Header{}, false
	}
	return Header{UUID: text(b[uuidAt : uuidAt+40]), Label: text(b[labelAt : labelAt+48]),
		Subsystem: text(b[subsystemAt : subsystemAt+MaxSubsystem+1]), Tokens: tokens(b[binarySize:])}, true
}

// tokens are the types of the tokens in the JSON of a header, which ends at the first zero (chapter 3).
func tokens(b []byte) (out []string) {
	var is struct {
		Tokens map[string]struct {
			Type string `json:"type"`
		} `json:"tokens"`
	}
	if json.Unmarshal([]byte(text(b)), &is) != nil {
		return nil
	}
	const most = 32 // LUKS2_TOKENS_MAX
	for i := range most {
		if t, ok := is.Tokens[strconv.Itoa(i)]; ok {
			out = append(out, t.Type)
		}
	}
	return out
}

// SetSubsystem gives a volume another subsystem. It is durable on return, and may be called while the volume is open.
// It fails, and writes nothing, if the volume has no header that is whole.
func SetSubsystem(v Volume, subsystem string) error {
	if len(subsystem) > MaxSubsystem || bytes.IndexByte([]byte(subsystem), 0) >= 0 {
		return fmt.Errorf("changing the header of an encrypted volume: %q is too long, or has a zero", subsystem)
	}
	old := copies(v)
	now := newest(old)
	if now == nil {
		return errors.New("changing the header of an encrypted volume: it has none that is whole")
	}
	next := binary.BigEndian.Uint64(now[sequenceAt:]) + 1
	order := []int{1, 0}
	if old[0] == nil || old[1] != nil && sequence(old[1]) > sequence(old[0]) { // the one that counts comes last
		order = []int{0, 1}
	}
	for _, i := range order {
		b := changed(now, old[i], i, next, subsystem)
		if _, err := v.WriteAt(b, place(i, now)); err != nil {
			return fmt.Errorf("changing the header of an encrypted volume: %w", err)
		}
		if err := v.Sync(); err != nil {
			return fmt.Errorf("changing the header of an encrypted volume: %w", err)
		}
	}
	return nil
}

// changed is copy i of a header, made of the copy that counts. Each copy has a salt of its own, which stays where the
// copy is whole.
func changed(now, old []byte, i int, next uint64, subsystem string) []byte {
	b := bytes.Clone(now)
	copy(b, magics[i])
	if old != nil {
		const salt = algorithmAt + 32
		copy(b[salt:uuidAt], old[salt:uuidAt])
	}
	binary.BigEndian.PutUint64(b[sequenceAt:], next)
	binary.BigEndian.PutUint64(b[offsetAt:], uint64(place(i, now)))
	clear(b[subsystemAt : subsystemAt+MaxSubsystem+1])
	copy(b[subsystemAt:], subsystem)
	clear(b[sumAt : sumAt+sumSize])
	sum := sha256.Sum256(b)
	copy(b[sumAt:], sum[:])
	return b
}

// place is where copy i is.
func place(i int, b []byte) int64 { return int64(i) * int64(len(b)) }

func sequence(b []byte) uint64 { return binary.BigEndian.Uint64(b[sequenceAt:]) }

// copies are the two copies of a header, each nil if it is not whole.
func copies(r io.ReaderAt) (out [2][]byte) {
	if out[0] = read(r, 0, 0); out[0] != nil {
		out[1] = read(r, 1, int64(len(out[0])))
		return out
	}
	for _, at := range sizes() {
		if out[1] = read(r, 1, at); out[1] != nil {
			return out
		}
	}
	return out
}

// newest is the copy that counts, nil if none is whole.
func newest(of [2][]byte) []byte {
	if of[0] == nil || of[1] != nil && sequence(of[1]) > sequence(of[0]) {
		return of[1]
	}
	return of[0]
}

// read reads copy i, which is at a place; nil if it is not whole.
func read(r io.ReaderAt, i int, at int64) []byte {
	b := make([]byte, binarySize)
	if n, _ := r.ReadAt(b, at); n < len(b) {
		return nil
	}
	be := binary.BigEndian
	size := int64(be.Uint64(b[sizeAt:]))
	if string(b[:versionAt]) != magics[i] || be.Uint16(b[versionAt:]) != version || !slices.Contains(sizes(), size) ||
		int64(be.Uint64(b[offsetAt:])) != at || i == 1 && size != at ||
		text(b[algorithmAt:algorithmAt+32]) != "sha256" {
		return nil
	}
	b = make([]byte, size)
	if n, _ := r.ReadAt(b, at); n < len(b) {
		return nil
	}
	sum := bytes.Clone(b[sumAt : sumAt+sha256.Size])
	unsummed := bytes.Clone(b)
	clear(unsummed[sumAt : sumAt+sumSize])
	if got := sha256.Sum256(unsummed); !bytes.Equal(got[:], sum) {
		return nil
	}
	return b
}

// text is a field that ends at the first zero.
func text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
