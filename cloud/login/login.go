// Package login is how griddle logs in to the servers of its stacks, by ssh.
//
// Call Open. One directory holds two secrets, each made once and readable by its owner alone: griddle's own login
// key, which every server's admin gets besides the declared keys, and a seed from which each server's host key
// follows. So a server's key is known before the server is, and stays the same when the server is replaced; no first
// connection is trusted blindly.
//
//	DIR/id_ed25519   0600  OpenSSH private key
//	DIR/id_ed25519.pub     its public key
//	DIR/hosts.seed   0600  32 bytes: a host key is HKDF-SHA256(seed, "griddle host key", STACK/SERVER),
//	                       the seed of Ed25519
//
// A server's host key is in its user-data: anyone who reads that (root on the server, and users of the provider) can
// pass for that server, and for no other.
package login

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"

	"griddle/imagestore/durable"
)

// Keys are the two secrets.
type Keys struct {
	dir    string
	signer ssh.Signer
	seed   []byte
}

// Open reads the keys, and makes those that are missing; they are on the disk when it returns (durable.Disk.Create).
func Open(dir string, disk durable.Disk) (*Keys, error) {
	if err := disk.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the login keys: %w", err)
	}
	seed, err := secret(disk, filepath.Join(dir, "hosts.seed"), func() ([]byte, error) {
		b := make([]byte, 32)
		_, err := rand.Read(b)
		return b, err
	})
	if err != nil {
		return nil, err
	}
	if len(seed) != 32 {
		return nil, fmt.Errorf("opening the login keys: %s has %d bytes, not 32",
			filepath.Join(dir, "hosts.seed"), len(seed))
	}
	private, err := secret(disk, filepath.Join(dir, "id_ed25519"), func() ([]byte, error) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		block, err := ssh.MarshalPrivateKey(key, "griddle")
		if err != nil {
			return nil, err
		}
		return pem.EncodeToMemory(block), nil
	})
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("opening the login keys: %s is not a private key", filepath.Join(dir, "id_ed25519"))
	}
	k := &Keys{dir: dir, signer: signer, seed: seed}
	public := filepath.Join(dir, "id_ed25519.pub")
	if b, err := os.ReadFile(public); err != nil || !bytes.Equal(b, []byte(k.Public()+"\n")) {
		if err := disk.Replace(public, []byte(k.Public()+"\n"), 0o644); err != nil {
			return nil, fmt.Errorf("opening the login keys: %w", err)
		}
	}
	return k, nil
}

// secret reads a file that nobody else can read, or makes it. Of two that make it at once the first counts.
func secret(disk durable.Disk, path string, make func() ([]byte, error)) ([]byte, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		b, err := make()
		if err == nil {
			err = disk.Create(path, b, 0o600)
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("making %s: %w", path, err)
		}
	}
	i, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("opening the login keys: %w", err)
	}
	if i.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("opening the login keys: others can read %s: if no one did, run chmod 600 on it, "+
			"else remove it and rebuild the servers", path)
	}
	return os.ReadFile(path)
}

// Public is the login key's public half, a line of authorized_keys without a line break.
func (k *Keys) Public() string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.signer.PublicKey()))) + " griddle"
}

// Signer signs logins.
func (k *Keys) Signer() ssh.Signer { return k.signer }

// Identity is the path of the private login key, for ssh -i.
func (k *Keys) Identity() string { return filepath.Join(k.dir, "id_ed25519") }

// host is a server's host key.
func (k *Keys) host(stack, server string) (ed25519.PrivateKey, error) {
	b, err := hkdf.Key(sha256.New, k.seed, []byte("griddle host key"), stack+"/"+server, ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("making the host key of %s: %w", server, err)
	}
	return ed25519.NewKeyFromSeed(b), nil
}

// HostPrivate is a server's private host key, PEM of OpenSSH's format: always the same bytes.
func (k *Keys) HostPrivate(stack, server string) (string, error) {
	key, err := k.host(stack, server)
	if err != nil {
		return "", err
	}
	return string(encode(key)), nil
}

// Host is a server's public host key.
func (k *Keys) Host(stack, server string) (ssh.PublicKey, error) {
	key, err := k.host(stack, server)
	if err != nil {
		return nil, err
	}
	return ssh.NewPublicKey(key.Public())
}

// encode is ssh.MarshalPrivateKey with check numbers that follow from the key instead of random ones, so that
// the same server gets the same user-data (PROTOCOL.key of OpenSSH: two equal numbers that show a wrong
// passphrase, and there is none).
func encode(key ed25519.PrivateKey) []byte {
	public := key.Public().(ed25519.PublicKey)
	kind := ssh.KeyAlgoED25519
	blob := ssh.Marshal(struct {
		Kind   string
		Public []byte
	}{kind, public})
	check := uint32(public[0])<<24 | uint32(public[1])<<16 | uint32(public[2])<<8 | uint32(public[3])
	inner := ssh.Marshal(struct {
		Check1, Check2 uint32
		Kind           string
		Public         []byte
		Private        []byte
		Comment        string
	}{check, check, kind, public, key, ""})
	for i := byte(1); len(inner)%8 != 0; i++ {
		inner = append(inner, i)
	}
	outer := append([]byte("openssh-key-v1\x00"), ssh.Marshal(struct {
		Cipher, KDF, Options string
		Keys                 uint32
		Public, Private      []byte
	}{"none", "none", "", 1, blob, inner})...)
	return pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: outer})
}
