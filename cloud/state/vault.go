package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

	"griddle/appliance/seal"
)

// Vault keeps the secrets of a stack, encrypted for one identity. Its methods may be called by several goroutines.
type Vault struct {
	dir Directory
	key *seal.Key

	mu     sync.Mutex
	values map[string]string // by "secret.NAME" and "output.ROLE.NAME"
}

// OpenVault opens a stack's vault. It creates the identity if there is none.
func (d Directory) OpenVault() (*Vault, error) {
	key := seal.In(d.stacks.Disk, d.stacks.Identity,
		"griddle's own: what it keeps with its stacks is encrypted for this identity")
	if err := key.Make(); err != nil {
		return nil, fmt.Errorf("opening the secrets of stack %s: %w", filepath.Base(d.path), err)
	}
	v := &Vault{dir: d, key: key, values: make(map[string]string)}
	b, err := v.open("secrets.age")
	if errors.Is(err, fs.ErrNotExist) {
		return v, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &v.values)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the secrets of stack %s: %w", filepath.Base(d.path), err)
	}
	return v, nil
}

// open decrypts a file of the stack's directory.
func (v *Vault) open(name string) ([]byte, error) {
	path := filepath.Join(v.dir.path, name)
	sealed, err := seal.ReadPrivate(v.dir.stacks.Disk, path)
	if err != nil {
		return nil, err
	}
	b, err := v.key.Open(sealed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

// seal encrypts a file of the stack's directory.
func (v *Vault) seal(name string, b []byte) error {
	sealed, err := v.key.Seal(b)
	path := filepath.Join(v.dir.path, name)
	if err == nil {
		err = v.dir.stacks.Disk.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = v.dir.stacks.Disk.Replace(path, sealed, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keeping %s: %w", path, err)
	}
	return nil
}

// Get returns a value that was kept as "secret.NAME" or "output.ROLE.NAME".
func (v *Vault) Get(name string) (string, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, ok := v.values[name]
	return s, ok
}

// Put keeps a value, which is durable when Put returns. It calls fill if there is no value yet, or
// always if again is set.
func (v *Vault) Put(name string, again bool, fill func() string) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s, ok := v.values[name]; ok && !again {
		return s, nil
	}
	s := fill()
	old, had := v.values[name]
	if had && old == s {
		return s, nil
	}
	v.values[name] = s
	b, err := json.Marshal(v.values)
	if err == nil {
		err = v.seal("secrets.age", b)
	}
	if err != nil {
		delete(v.values, name)
		return "", err
	}
	return s, nil
}

// UserData returns the user-data that a server was created with. The error is fs.ErrNotExist if it is not kept.
func (v *Vault) UserData(server string) ([]byte, error) {
	return v.open(filepath.Join("userdata", server+".age"))
}

// KeepUserData keeps the user-data of a server that is about to be created.
func (v *Vault) KeepUserData(server string, b []byte) error {
	return v.seal(filepath.Join("userdata", server+".age"), b)
}

// ForgetUserData removes the user-data of a server that is gone.
func (v *Vault) ForgetUserData(server string) error {
	err := v.dir.stacks.Disk.Remove(filepath.Join(v.dir.path, "userdata", server+".age"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
