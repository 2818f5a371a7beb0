package imagestore

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/blake2b"
)

// ErrSignature is wrapped where a document's signature is missing, wrong, or by a key that is not trusted.
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
	if rest, ok := strings.CutPrefix(line, untrusted); ok {
		_, line, _ = strings.Cut(rest, "\n")
	}
	b, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(line))
	if err != nil || len(b) != 2+8+ed25519.PublicKeySize || string(b[:2]) != "Ed" {
		return k, fmt.Errorf("parsing public key %.80q: want the base64 line that minisign prints, beginning with RW", line)
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
	untrusted = "untrusted comment: "
	trusted   = "trusted comment: "
)

// signature returns the four lines that minisign writes for message: a comment, base64 of "ED", key ID and the
// Ed25519 signature of the message's BLAKE2b-512, the trusted comment, base64 of the signature of the signature and
// that comment.
func (k *SecretKey) signature(message []byte, comment string) []byte {
	sum := blake2b.Sum512(message)
	sig := ed25519.Sign(k.key, sum[:])
	global := ed25519.Sign(k.key, append(bytes.Clone(sig), comment...))
	b := append([]byte("ED"), k.id[:]...)
	return fmt.Appendf(nil, "%ssignature from griddle secret key\n%s\n%s%s\n%s\n",
		untrusted, base64.StdEncoding.EncodeToString(append(b, sig...)),
		trusted, comment, base64.StdEncoding.EncodeToString(global))
}

// verifySignature checks the four lines sig over message against the keys of t. It returns what the key that signed
// counts for, which the caller must look at, and the trusted comment. Legacy signatures ("Ed", not prehashed) are refused: minisign has written none since 0.11.
func verifySignature(message, sig []byte, t *Trust) (Grant, string, error) {
	bad := func(why string) (Grant, string, error) {
		return Grant{}, "", fmt.Errorf("%w: %s", ErrSignature, why)
	}
	lines := strings.Split(strings.TrimSuffix(strings.ReplaceAll(string(sig), "\r\n", "\n"), "\n"), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], untrusted) || !strings.HasPrefix(lines[2], trusted) {
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
	grant, err := t.find([8]byte(b[2:10]))
	if err != nil {
		return Grant{}, "", err
	}
	key := grant.key
	sum := blake2b.Sum512(message)
	if !ed25519.Verify(key.key[:], sum[:], b[10:]) {
		return bad(fmt.Sprintf("it does not match the content (key %s)", key.ID()))
	}
	comment := lines[2][len(trusted):]
	if !ed25519.Verify(key.key[:], append(bytes.Clone(b[10:]), comment...), global) {
		return bad(fmt.Sprintf("its trusted comment was changed (key %s)", key.ID()))
	}
	return grant, comment, nil
}
