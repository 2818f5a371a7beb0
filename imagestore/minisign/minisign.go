// Package minisign makes and reads keys and signatures in the formats of minisign, so that `minisign -V` checks what we
// sign and `minisign -S` signs what we check.
//
// Call LoadOrMakeKey or ReadKey for a secret key and SecretKey.Sign for a signature; ParsePublicKey and Verify check
// one. A signature is four lines:
//
//	+------------------------------------------------------+
//	| untrusted comment: …                              \n |
//	| base64: "ED" 2, key ID 8, signature 64            \n | Ed25519, of the message's BLAKE2b-512
//	| trusted comment: …                                \n |
//	| base64: global signature 64                       \n | Ed25519, of the signature and the trusted comment
//	+------------------------------------------------------+
//
// A secret key's file is refused where other users have access to it. Key files are durable before the functions that
// make them return. Sources: minisign(1), and its format description at https://jedisct1.github.io/minisign/.
package minisign

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/blake2b"
)

// ErrSignature is wrapped if a signature is missing, wrong, or by a key that is not trusted.
var ErrSignature = errors.New("signature not accepted")

// PublicKey is a minisign public key: 2 bytes "Ed", 8 bytes key ID, 32 bytes Ed25519 key, written in base64.
type PublicKey struct {
	id  [8]byte
	key [ed25519.PublicKeySize]byte
}

// ParsePublicKey reads the base64 line of a minisign public key, or a whole file with its comment.
func ParsePublicKey(s string) (PublicKey, error) {
	var k PublicKey
	line := strings.TrimSpace(s)
	if rest, ok := strings.CutPrefix(line, CommentPrefix); ok {
		_, line, _ = strings.Cut(rest, "\n")
	}
	b, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(line))
	if err != nil || len(b) != 2+8+ed25519.PublicKeySize || string(b[:2]) != "Ed" {
		return k, fmt.Errorf("parsing public key %.80q: want the base64 line that minisign prints, beginning with RW",
			line)
	}
	copy(k.id[:], b[2:])
	copy(k.key[:], b[10:])
	return k, nil
}

// String is the base64 line, as `minisign -P` takes it.
func (k PublicKey) String() string {
	b := append([]byte("Ed"), k.id[:]...)
	return base64.StdEncoding.EncodeToString(append(b, k.key[:]...))
}

// ID is the key's ID as minisign prints it: 16 upper-case hex digits.
func (k PublicKey) ID() string { return fmt.Sprintf("%016X", binary.LittleEndian.Uint64(k.id[:])) }

// CheckID returns nil if s has the form that PublicKey.ID writes, and otherwise ErrSignature.
func CheckID(s string) error {
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil || fmt.Sprintf("%016X", n) != s {
		return fmt.Errorf("%w: %.40q is not the ID of a key", ErrSignature, s)
	}
	return nil
}

// SecretKey signs.
type SecretKey struct {
	id  [8]byte
	key ed25519.PrivateKey
}

// GenerateKey makes a new key from the system's randomness.
func GenerateKey() (*SecretKey, error) {
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating key: %w", err)
	}
	k := &SecretKey{key: priv}
	if _, err := rand.Read(k.id[:]); err != nil {
		return nil, fmt.Errorf("generating key: %w", err)
	}
	return k, nil
}

// Public is the key that verifies what k signs.
func (k *SecretKey) Public() PublicKey {
	p := PublicKey{id: k.id}
	copy(p.key[:], k.key.Public().(ed25519.PublicKey))
	return p
}

const (
	CommentPrefix = "untrusted comment: "
	trusted       = "trusted comment: "
)

// Sign returns the four lines that minisign writes for message. comment is the trusted comment: it is signed too.
func (k *SecretKey) Sign(message []byte, comment string) []byte {
	sum := blake2b.Sum512(message)
	sig := ed25519.Sign(k.key, sum[:])
	global := ed25519.Sign(k.key, append(bytes.Clone(sig), comment...))
	b := append([]byte("ED"), k.id[:]...)
	return fmt.Appendf(nil, "%ssignature from griddle secret key\n%s\n%s%s\n%s\n",
		CommentPrefix, base64.StdEncoding.EncodeToString(append(b, sig...)),
		trusted, comment, base64.StdEncoding.EncodeToString(global))
}

// Verify checks the four lines sig over message. find gets the ID of the key that signed, as PublicKey.ID writes it,
// and returns that key, or the error why it does not count. Legacy signatures ("Ed", not prehashed) are refused:
// minisign has written none since 0.11.
func Verify(message, sig []byte, find func(id string) (PublicKey, error)) error {
	bad := func(why string) error { return fmt.Errorf("%w: %s", ErrSignature, why) }
	lines := strings.Split(strings.TrimSuffix(strings.ReplaceAll(string(sig), "\r\n", "\n"), "\n"), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], CommentPrefix) || !strings.HasPrefix(lines[2], trusted) {
		return bad("it does not have the four lines of a minisign signature")
	}
	b, err := base64.StdEncoding.Strict().DecodeString(lines[1])
	if err != nil || len(b) != 2+8+ed25519.SignatureSize {
		return bad("its second line is not a minisign signature")
	}
	global, err := base64.StdEncoding.Strict().DecodeString(lines[3])
	if err != nil || len(global) != ed25519.SignatureSize {
		return bad("its fourth line is not a signature")
	}
	if string(b[:2]) != "ED" {
		return bad("it is not prehashed (sign with minisign 0.11 or newer)")
	}
	key, err := find(PublicKey{id: [8]byte(b[2:10])}.ID())
	if err != nil {
		return err
	}
	sum := blake2b.Sum512(message)
	if !ed25519.Verify(key.key[:], sum[:], b[10:]) {
		return bad(fmt.Sprintf("it does not match the content (key %s)", key.ID()))
	}
	comment := lines[2][len(trusted):]
	if !ed25519.Verify(key.key[:], append(bytes.Clone(b[10:]), comment...), global) {
		return bad(fmt.Sprintf("its trusted comment was changed (key %s)", key.ID()))
	}
	return nil
}
