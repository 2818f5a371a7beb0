package cloud

import (
	"bytes"
	"encoding/json"
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

// maxSealed is how long a file of the vault may be, in bytes.
const maxSealed = 4 << 20

// vault keeps what is secret with a stack, encrypted for one identity.
type vault struct {
	dir directory
	id  *age.X25519Identity

	mu     sync.Mutex
	values map[string]string // by "secret.NAME" and "output.ROLE.NAME"
}

// openVault opens a stack's vault, and makes the identity where there is none.
func (c *Cloud) openVault(d directory) (*vault, error) {
	id, err := identity(c.Disk, c.Identity)
	if err != nil {
		return nil, fmt.Errorf("opening the secrets of stack %s: %w", filepath.Base(d.path), err)
	}
	v := &vault{dir: d, id: id, values: make(map[string]string)}
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

// identity reads the age identity, or makes it. Two processes that make it at once end up with the same one.
func identity(disk durable.Disk, path string) (*age.X25519Identity, error) {
	if err := disk.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			return nil, err
		}
		text := "# griddle's own: what it keeps with its stacks is encrypted for this identity\n" + id.String() + "\n"
		if err := disk.Create(path, []byte(text), 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	b, err := readPrivate(disk, path)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		id, err := age.ParseX25519Identity(line)
		if err != nil {
			return nil, fmt.Errorf("%s: this is no age identity", path) // the error could have the line in it
		}
		return id, nil
	}
	return nil, fmt.Errorf("%s: there is no age identity in it", path)
}

// readPrivate reads a file that nobody but its owner and root may read.
func readPrivate(disk durable.Disk, path string) ([]byte, error) {
	i, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !i.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: this is no file", path)
	}
	if i.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: others may read it (mode %04o): chmod 600 it", path, i.Mode().Perm())
	}
	if i.Size() > maxSealed {
		return nil, fmt.Errorf("%s: %d bytes are more than %d", path, i.Size(), maxSealed)
	}
	return disk.ReadFile(path)
}

// open decrypts a file of the stack's directory.
func (v *vault) open(name string) ([]byte, error) {
	path := filepath.Join(v.dir.path, name)
	sealed, err := readPrivate(v.dir.disk, path)
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), v.id)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	b, err := io.ReadAll(io.LimitReader(r, maxSealed))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

// seal encrypts a file of the stack's directory.
func (v *vault) seal(name string, b []byte) error {
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, v.id.Recipient())
	if err == nil {
		_, err = w.Write(b)
	}
	if err == nil {
		err = w.Close()
	}
	path := filepath.Join(v.dir.path, name)
	if err == nil {
		err = v.dir.disk.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = v.dir.disk.Replace(path, sealed.Bytes(), 0o600)
	}
	if err != nil {
		return fmt.Errorf("keeping %s: %w", path, err)
	}
	return nil
}

// get is a kept value.
func (v *vault) get(name string) (string, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, ok := v.values[name]
	return s, ok
}

// put keeps a value; it is durable when put returns. fill is called where there is none yet, or always where again is set.
func (v *vault) put(name string, again bool, fill func() string) (string, error) {
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

// userData is what a server was made with; fs.ErrNotExist where that is not kept.
func (v *vault) userData(server string) ([]byte, error) {
	return v.open(filepath.Join("userdata", server+".age"))
}

func (v *vault) keepUserData(server string, b []byte) error {
	return v.seal(filepath.Join("userdata", server+".age"), b)
}

func (v *vault) forgetUserData(server string) error {
	err := v.dir.disk.Remove(filepath.Join(v.dir.path, "userdata", server+".age"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
