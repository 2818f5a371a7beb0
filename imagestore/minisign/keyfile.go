package minisign

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"griddle/imagestore/durable"
)

// What guessing a password costs: scrypt with N = 2^18, r = 8 and p = 1, which takes 256 MiB, so that a key made here
// can be used on a small computer. The files say it, and minisign takes any.
const (
	passwordOps = 1 << 23
	passwordMem = 1 << 28
)

// MakeKey makes a key in path, mode 0600, and its public half in the same name with ".pub" for its extension, both
// in minisign's format. The secret key is encrypted unless password is empty. If either file exists, the error is
// fs.ErrExist and nothing is changed. Both files are durable when MakeKey returns; a crash before that may leave
// only the secret key.
func MakeKey(path, password string) (k *SecretKey, public string, err error) {
	public = strings.TrimSuffix(path, filepath.Ext(path)) + ".pub"
	if public == path {
		return nil, "", fmt.Errorf("making key: %s is the name of the public key's file", path)
	}
	if _, err := os.Lstat(public); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = &fs.PathError{Op: "making", Path: public, Err: fs.ErrExist}
		}
		return nil, "", fmt.Errorf("making key: %w", err)
	}
	if k, err = GenerateKey(); err != nil {
		return nil, "", err
	}
	secret := k.File()
	if password != "" {
		if secret, err = k.formatEncrypted(password, passwordOps, passwordMem); err != nil {
			return nil, "", fmt.Errorf("making key: %w", err)
		}
	}
	if err := (durable.Disk{}).MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, "", fmt.Errorf("making key: %w", err)
	}
	err = durable.Disk{}.Create(path, secret, 0o600)
	if err == nil {
		err = durable.Disk{}.Create(public, k.Public().File(), 0o644)
	}
	if errors.Is(err, fs.ErrExist) {
		err = &fs.PathError{Op: "making", Path: path, Err: fs.ErrExist}
	}
	if err != nil {
		return nil, "", fmt.Errorf("making key: %w", err)
	}
	return k, public, nil
}

// File is the public key as `minisign -G` writes it.
func (k PublicKey) File() []byte {
	return fmt.Appendf(nil, "%sgriddle public key %s\n%s\n", CommentPrefix, k.ID(), k)
}

// formatEncrypted writes the key as `minisign -G` does, at that cost of a guess.
func (k *SecretKey) formatEncrypted(password string, ops, mem uint64) ([]byte, error) {
	salt := make([]byte, 32)
	rand.Read(salt)
	field := append(append(bytes.Clone(k.id[:]), k.key...), keyCheck(k)...)
	if err := decryptKey(field, password, salt, ops, mem); err != nil { // XOR: both ways the same
		return nil, err
	}
	b := append([]byte("EdScB2"), salt...)
	b = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, ops), mem)
	return fmt.Appendf(nil, "%sgriddle encrypted secret key %s\n%s\n", CommentPrefix, k.Public().ID(),
		base64.StdEncoding.EncodeToString(append(b, field...))), nil
}
