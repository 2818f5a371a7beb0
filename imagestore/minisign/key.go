package minisign

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/scrypt"

	"griddle/imagestore/durable"
)

// A minisign secret key file is a comment line and base64 of
//
//	+--------+--------+--------+---------+----------+----------+--------+-----------+----------+
//	| "Ed" 2 | kdf  2 | "B2" 2 | salt 32 | opslim 8 | memlim 8 | id   8 | secret 64 | check 32 |
//	+--------+--------+--------+---------+----------+----------+--------+-----------+----------+
//
// kdf is "Sc" (the last three fields are XORed with scrypt of the password) or two zero bytes (in the clear, as
// `minisign -G -W` writes it). check is BLAKE2b-256 of "Ed", id and secret, which minisign leaves zero in the clear.
// Numbers are little-endian.
const (
	keyFileSize  = 2 + 2 + 2 + 32 + 8 + 8 + keyFieldSize
	keyFieldSize = 8 + ed25519.PrivateKeySize + 32
	keyFieldAt   = keyFileSize - keyFieldSize
	maxScrypt    = 1 << 30 // bytes; what `minisign -G` asks for
)

// maxKeyFile is more than any key file has, in bytes.
const maxKeyFile = 64 << 10

// ErrExposed is wrapped if users other than the owner can read or write the file of a secret key.
var ErrExposed = errors.New("other users have access to it")

// ReadKey reads a minisign secret key file. pass is asked for the password of an encrypted one, and may be nil.
// A regular file whose mode lets the group or others in is refused with ErrExposed, as ssh does.
func ReadKey(path string, pass func() (string, error)) (*SecretKey, error) {
	b, err := readSecret(path)
	if err != nil {
		return nil, fmt.Errorf("reading secret key: %w", err)
	}
	k, err := parseKey(b, pass)
	if err != nil {
		return nil, fmt.Errorf("reading secret key %s: %w", path, err)
	}
	return k, nil
}

// readSecret reads a small file, and looks at the mode of what it opened. A pipe has no mode that matters.
func readSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := st.Mode(); mode.IsRegular() && mode.Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %04o: %w; `chmod 600 %s` keeps them out", path,
			mode.Perm(), ErrExposed, path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(b) > maxKeyFile {
		err = fmt.Errorf("%s has more than %d bytes", path, maxKeyFile)
	}
	return b, err
}

func parseKey(file []byte, pass func() (string, error)) (*SecretKey, error) {
	comment, rest, ok := strings.Cut(string(file), "\n")
	line, _, _ := strings.Cut(rest, "\n")
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
	if !ok || err != nil || len(b) != keyFileSize || !strings.HasPrefix(comment, CommentPrefix) ||
		string(b[:2]) != "Ed" || string(b[4:6]) != "B2" {
		return nil, errors.New("not a minisign secret key")
	}
	field := b[keyFieldAt:]
	kdf := string(b[2:4])
	switch kdf {
	case "\x00\x00":
	case "Sc":
		if pass == nil {
			return nil, errors.New("the key is encrypted, and this program cannot ask for its password")
		}
		p, err := pass()
		if err != nil {
			return nil, fmt.Errorf("asking for the password: %w", err)
		}
		if err := decryptKey(field, p, b[6:38], binary.LittleEndian.Uint64(b[38:]),
			binary.LittleEndian.Uint64(b[46:])); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("unknown key derivation %q", kdf)
	}
	k := &SecretKey{id: [8]byte(field[:8]), key: bytes.Clone(field[8 : 8+ed25519.PrivateKeySize])}
	// minisign leaves the check of a key in the clear empty. The public half tells of damage as well.
	if kdf == "Sc" && !bytes.Equal(keyCheck(k), field[8+ed25519.PrivateKeySize:]) {
		return nil, errors.New("wrong password")
	}
	if !k.key.Equal(ed25519.NewKeyFromSeed(k.key[:ed25519.SeedSize])) {
		return nil, errors.New("the key is damaged")
	}
	return k, nil
}

func keyCheck(k *SecretKey) []byte {
	sum := blake2b.Sum256(append(append([]byte("Ed"), k.id[:]...), k.key...))
	return sum[:]
}

// decryptKey takes the cost parameters as libsodium's crypto_pwhash_scryptsalsa208sha256 does (pickparams).
func decryptKey(field []byte, password string, salt []byte, ops, mem uint64) error {
	if mem > maxScrypt || ops > 1<<32 {
		return fmt.Errorf("the key asks for %d bytes of memory for its password", mem)
	}
	const r = 8
	ops = max(ops, 32768)
	n, p := 1, uint64(1)
	if ops < mem/32 {
		for limit := ops / (r * 4); uint64(n)*2 <= limit && n < 1<<30; {
			n *= 2
		}
	} else {
		for limit := mem / (r * 128); uint64(n)*2 <= limit && n < 1<<30; {
			n *= 2
		}
		p = min(ops/4/uint64(n), 0x3fffffff) / r
	}
	stream, err := scrypt.Key([]byte(password), salt, n, r, int(max(p, 1)), len(field))
	if err != nil {
		return fmt.Errorf("deriving from the password: %w", err)
	}
	for i := range field {
		field[i] ^= stream[i]
	}
	return nil
}

// File writes the key as `minisign -G -W` does.
func (k *SecretKey) File() []byte {
	b := make([]byte, keyFieldAt, keyFileSize)
	copy(b, "Ed\x00\x00B2")
	b = append(append(append(b, k.id[:]...), k.key...), keyCheck(k)...)
	return fmt.Appendf(nil, "%sgriddle secret key %s\n%s\n", CommentPrefix, k.Public().ID(),
		base64.StdEncoding.EncodeToString(b))
}

// LoadOrMakeKey reads the secret key in path. If there is none, it makes one, mode 0600, writes the public key
// next to it, in path with ".pub" for its extension, and returns made as true. Both files are in minisign's
// format; the new key has no password. If two callers do this at the same time, one makes the key and the other
// gets it.
func LoadOrMakeKey(path string) (k *SecretKey, made bool, err error) {
	return loadOrMakeKey(durable.Disk{}, path)
}

func loadOrMakeKey(disk durable.Disk, path string) (k *SecretKey, made bool, err error) {
	k, err = ReadKey(path, nil)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return k, false, err
	}
	k, err = GenerateKey()
	if err != nil {
		return nil, false, err
	}
	dir := filepath.Dir(path)
	if err := disk.MkdirAll(dir, 0o700); err != nil {
		return nil, false, fmt.Errorf("making key: %w", err)
	}
	err = disk.Create(path, k.File(), 0o600)
	if errors.Is(err, fs.ErrExist) {
		k, err = ReadKey(path, nil)
		return k, false, err
	}
	if err != nil {
		return nil, false, fmt.Errorf("making key: %w", err)
	}
	if err := disk.Create(strings.TrimSuffix(path, filepath.Ext(path))+".pub", k.Public().File(), 0o644); err != nil &&
		!errors.Is(err, fs.ErrExist) {
		return nil, false, fmt.Errorf("making key: %w", err)
	}
	return k, true, nil
}
