// Package machinekey keeps the key by which an installed machine proves itself to its server, and finds it again.
//
// Call Keep at the end of an install, with the certificate that the boot proved itself with (job.NewKey). Call Load on
// the installed system, and in the boot image for the pool of an earlier install, which may be mounted read-only.
//
// dir is the folder griddle in the subvolume @persistent, "/persistent/griddle" on the installed system. It has
//
//	machine.key   the private key: Ed25519, PKCS #8 (RFC 5958) in PEM (RFC 7468), mode 0600
//
// Keep is durable when it returns: a power cut before leaves the old file or the new one, whole. No other process may
// keep a key in the same folder at the same time.
//
// Load takes a key from any disk that is in the machine, and someone else may have written that disk. So it reads a
// regular file of at most 4 KiB and nothing else, and refuses one that other users can read. A key that it returns
// proves nothing by itself: only a server that knows it says whose it is. Where the server does not know it, use a new
// key: the one who wrote the disk also has this one.
package machinekey

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"griddle/appliance/job"
)

// File is the name of the key's file in its folder.
const File = "machine.key"

const (
	maxFile   = 4096 // bytes of a key's file; a real one has 119
	temporary = ".machine.key.new"
)

// Errors on which callers branch. Where there is no key at all, the error is fs.ErrNotExist.
var (
	// ErrExposed is wrapped if others can read or change the key's file, so that they may have the key.
	ErrExposed = errors.New("other users can read or change it")
	// ErrDamaged is wrapped if the file does not hold a key.
	ErrDamaged = errors.New("it does not hold a key of a machine")
)

// Keep writes the key of c, which has to be Ed25519, to dir, in place of the one that is there.
func Keep(dir *os.Root, c tls.Certificate) error {
	private, ok := c.PrivateKey.(ed25519.PrivateKey)
	if !ok {
		return fmt.Errorf("keeping the machine's key: %T is not an Ed25519 key", c.PrivateKey)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err == nil {
		err = replace(dir, File, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	if err != nil {
		return fmt.Errorf("keeping the machine's key: %w", err)
	}
	return nil
}

// Load returns the key in dir, in a certificate as job.NewKey makes it.
func Load(dir *os.Root) (tls.Certificate, error) {
	b, err := read(dir, File)
	if err == nil {
		var c tls.Certificate
		if c, err = parse(b); err == nil {
			return c, nil
		}
	}
	return tls.Certificate{}, fmt.Errorf("reading the machine's key %s: %w", File, err)
}

func parse(b []byte) (tls.Certificate, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return tls.Certificate{}, fmt.Errorf("%w: it has no private key in PEM format", ErrDamaged)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return tls.Certificate{}, fmt.Errorf("%w: %T is not an Ed25519 key", ErrDamaged, key)
	}
	return job.KeyCertificate(private.Public().(ed25519.PublicKey), private)
}

// read returns a small file that only its owner, who is this user, can read.
func read(dir *os.Root, name string) ([]byte, error) {
	if st, err := dir.Lstat(name); err == nil && !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: it is not a regular file", ErrDamaged)
	}
	// What the name means may change after Lstat; O_NONBLOCK opens a pipe without waiting for its writer.
	f, err := dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: it is not a regular file", ErrDamaged)
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && int(sys.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%w: it belongs to user %d", ErrExposed, sys.Uid)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w: its mode is %04o", ErrExposed, st.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%w: it has more than %d bytes", ErrDamaged, maxFile)
	}
	return b, err
}

// replace writes a file, mode 0600, and replaces one of that name by rename(2). fsync(2) of the file comes before, and
// that of the folder after it.
func replace(dir *os.Root, name string, b []byte) error {
	if err := dir.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := dir.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := dir.Rename(temporary, name); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir *os.Root) error {
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
