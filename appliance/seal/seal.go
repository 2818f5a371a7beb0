// Package seal encrypts what programs keep on disks, with a key in a file beside it.
//
// Call In for the file, and Seal and Open for what is kept. The first Seal makes the key. Open never does: who lost the
// key must not get another one that opens nothing.
//
// Format: age (age-encryption.org/v1) for one X25519 recipient; the file has the identity of `age-keygen`, mode 0600.
// The key is durable before anything is sealed with it. A Key may be used by several goroutines and processes.
package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"filippo.io/age"

	"griddle/imagestore/durable"
)

// MaxFile is how long a file may be that ReadPrivate reads, and what Open returns, in bytes.
const MaxFile = 4 << 20

// Key is the key in one file.
type Key struct {
	disk    durable.Disk
	path    string
	comment string

	mu sync.Mutex
	id *age.X25519Identity // nil until it was read or made
}

// In is the key in the file path, which may not exist yet. A new file begins with comment, one line of text that says
// what the key is for.
func In(disk durable.Disk, path, comment string) *Key {
	return &Key{disk: disk, path: path, comment: comment}
}

// Path is the name of the file.
func (k *Key) Path() string { return k.path }

// Make reads the key, or makes it and its directory. Two processes that make it at once end up with the same one.
func (k *Key) Make() error {
	_, err := k.identity(true)
	return err
}

// Seal encrypts b. It makes the key if there is none.
func (k *Key) Seal(b []byte) ([]byte, error) {
	id, err := k.identity(true)
	if err != nil {
		return nil, err
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, id.Recipient())
	if err == nil {
		_, err = w.Write(b)
	}
	if err == nil {
		err = w.Close()
	}
	return sealed.Bytes(), err
}

// Open decrypts what Seal made. The error is fs.ErrNotExist if there is no key.
func (k *Key) Open(sealed []byte) ([]byte, error) {
	id, err := k.identity(false)
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), id)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, MaxFile))
}

// identity reads the identity, and makes it first if there is none and it may.
func (k *Key) identity(create bool) (*age.X25519Identity, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.id != nil {
		return k.id, nil
	}
	if create {
		if err := k.create(); err != nil {
			return nil, err
		}
	}
	b, err := ReadPrivate(k.disk, k.path)
	if err != nil {
		return nil, err
	}
	k.id, err = parse(k.path, string(b))
	return k.id, err
}

func (k *Key) create() error {
	if err := k.disk.MkdirAll(filepath.Dir(k.path), 0o700); err != nil {
		return err
	}
	if _, err := os.Lstat(k.path); !errors.Is(err, fs.ErrNotExist) {
		return nil // reading it finds what is wrong
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	text := "# " + k.comment + "\n" + id.String() + "\n"
	if err := k.disk.Create(k.path, []byte(text), 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func parse(path, text string) (*age.X25519Identity, error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		id, err := age.ParseX25519Identity(line)
		if err != nil {
			return nil, fmt.Errorf("%s: this is not an age identity", path) // the error could have the line in it
		}
		return id, nil
	}
	return nil, fmt.Errorf("%s: it has no age identity", path)
}

// ReadPrivate reads a file that no one but its owner and root may read.
func ReadPrivate(disk durable.Disk, path string) ([]byte, error) {
	i, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !i.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: this is not a regular file", path)
	}
	if i.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: others may read it (mode %04o): chmod 600 it", path, i.Mode().Perm())
	}
	if i.Size() > MaxFile {
		return nil, fmt.Errorf("%s: %d bytes are more than %d", path, i.Size(), MaxFile)
	}
	return disk.ReadFile(path)
}
