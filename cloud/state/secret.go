package state

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"griddle/appliance/seal"
	"griddle/cloud/stack"
	"griddle/imagestore/durable"
)

// maxSecret is how long a secret may be, in bytes.
const maxSecret = 64 << 10

// Secrets finds the values of the secrets that a stack file declares: in the environment, in files, or generated.
type Secrets struct {
	Base string                           // directory of the stack file; relative names of files start there
	Env  func(name string) (string, bool) // the environment; nil for an empty one
}

// Check says why the value of a secret cannot be read. A secret that is generated has no such error.
func (x Secrets) Check(s stack.Secret) error {
	if s.Generate > 0 {
		return nil
	}
	_, err := x.Value(s, nil)
	return err
}

// Value returns the value of a secret. One that is generated is generated once, and kept in v. Errors name the secret
// and its source, never the value.
func (x Secrets) Value(s stack.Secret, v *Vault) (string, error) {
	value, err := x.read(v, s)
	if err != nil {
		return "", fmt.Errorf("finding secret %s: %w", s.Name, err)
	}
	if len(value) > maxSecret {
		return "", fmt.Errorf("finding secret %s: %d bytes are more than %d", s.Name, len(value), maxSecret)
	}
	return value, nil
}

func (x Secrets) read(v *Vault, s stack.Secret) (string, error) {
	switch {
	case s.Env != "":
		value, ok := "", false
		if x.Env != nil {
			value, ok = x.Env(s.Env)
		}
		if !ok || value == "" {
			return "", fmt.Errorf("the variable %s of the environment is not set", s.Env)
		}
		return value, nil
	case s.File != "":
		return x.file(s)
	case s.Generate > 0:
		return v.Put("secret."+s.Name, false, func() string { return random(s.Generate) })
	}
	return "", errors.New("nothing says where it is found")
}

// file reads a secret, without a line break at its end.
func (x Secrets) file(s stack.Secret) (string, error) {
	b, err := seal.ReadPrivate(durable.Disk{}, x.local(s.File))
	if err != nil {
		return "", err
	}
	if s.Identity != "" {
		if b, err = x.decrypt(b, x.local(s.Identity)); err != nil {
			return "", err
		}
	}
	text := strings.TrimSuffix(string(b), "\n")
	return strings.TrimSuffix(text, "\r"), nil
}

// decrypt opens an age file, armored or not. A file that is none is returned as it is.
func (x Secrets) decrypt(b []byte, identityFile string) ([]byte, error) {
	var r io.Reader = bytes.NewReader(b)
	switch {
	case bytes.HasPrefix(b, []byte(armor.Header)):
		r = armor.NewReader(r)
	case !bytes.HasPrefix(b, []byte("age-encryption.org/")):
		return b, nil
	}
	text, err := seal.ReadPrivate(durable.Disk{}, identityFile)
	if err != nil {
		return nil, err
	}
	ids, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: these are not age identities", identityFile) // the error could have a line in it
	}
	plain, err := age.Decrypt(r, ids...)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(plain, maxSecret+2))
}

// local is a path of the stack file.
func (x Secrets) local(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(x.Base, path)
}

// random is n characters that nobody can guess: 5.95 bits each.
func random(n int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, n)
	for i := range b {
		k, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
		if err != nil {
			panic(err) // crypto/rand does not fail on Linux
		}
		b[i] = letters[k.Int64()]
	}
	return string(b)
}
