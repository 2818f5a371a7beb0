// Package machinekey keeps the key by which an installed machine proves itself to its server, and finds it again.
//
// Call Keep at the end of an install, with the certificate that the boot proved itself with (job.NewKey). Call Load on
// the installed system, and in the boot image for the pool of an earlier install, which may be mounted read-only.
//
// dir is the folder griddle in the subvolume @persistent, "/persistent/griddle" on the installed system. It has
//
//	machine.key       the private key: Ed25519, PKCS #8 (RFC 5958) in PEM (RFC 7468), mode 0600
//	machine.key.tpm   instead of it, if the machine has a TPM 2.0: the key's seed, sealed
//
// A TPM seals the seed under its storage key (ECC P-256, made from the TCG's template each time). So a copy of the disk
// is worth nothing in another machine. The policy has no PCRs: they change with each update of the firmware, the
// bootloader and the kernel, and then the machine would have to be approved again. So any system that runs on the
// machine with root's rights can unseal the key. The file has, in PEM (RFC 7468), as the TPM marshals them (TPM 2.0
// Part 2, sections 12.2.5 and 12.3.7):
//
//	+---------------------+----------------------+
//	| TPM2B_PUBLIC        | TPM2B_PRIVATE        |
//	| 2 bytes size, value | 2 bytes size, value  |
//	+---------------------+----------------------+
//
// If the TPM cannot seal (its owner set a password, or it is broken), Keep writes the plain file: an install must not
// end for that. Sealed says which one it is.
//
// Keep is durable when it returns: a power cut before leaves the old file or the new one, whole. No other process may
// keep a key in the same folder at the same time.
//
// Load takes a key from any disk that is in the machine, and someone else may have written that disk. So it reads a
// regular file of at most 4 KiB and nothing else, and refuses one that other users can read. A key that it returns
// proves nothing by itself: only a server that knows it says whose it is. Where the server does not know it, use a new
// key: the one who wrote the disk also has this one. Nothing here replaces a key that cannot be read (ErrCleared): that
// is the decision of an operator who approves another one.
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

// Folder is the folder with the key, in the subvolume @persistent.
const Folder = "griddle"

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
func Keep(dir *os.Root, c tls.Certificate) error { return keep(dir, c, openDevice) }

func keep(dir *os.Root, c tls.Certificate, tpm opener) error {
	private, ok := c.PrivateKey.(ed25519.PrivateKey)
	if !ok {
		return fmt.Errorf("keeping the machine's key: %T is not an Ed25519 key", c.PrivateKey)
	}
	name, other := SealedFile, File
	b, err := seal(tpm, private)
	if err != nil {
		var der []byte
		if der, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
			return fmt.Errorf("keeping the machine's key: %w", err)
		}
		name, other = File, SealedFile
		b = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	if err = replace(dir, name, b); err == nil {
		err = remove(dir, other)
	}
	if err != nil {
		return fmt.Errorf("keeping the machine's key: %w", err)
	}
	return nil
}

// Load returns the key in dir, in a certificate as job.NewKey makes it.
func Load(dir *os.Root) (tls.Certificate, error) { return load(dir, openDevice) }

func load(dir *os.Root, tpm opener) (tls.Certificate, error) {
	// Keep writes the new file before it removes the other one: after a crash in between, the sealed one counts.
	name := SealedFile
	b, err := read(dir, name)
	var private ed25519.PrivateKey
	if errors.Is(err, fs.ErrNotExist) {
		name = File
		if b, err = read(dir, name); err == nil {
			private, err = parse(b)
		}
	} else if err == nil {
		private, err = unseal(tpm, b)
	}
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("reading the machine's key %s: %w", name, err)
	}
	return job.KeyCertificate(private.Public().(ed25519.PublicKey), private)
}

// Sealed says whether the key in dir is sealed by a TPM.
func Sealed(dir *os.Root) bool {
	_, err := dir.Lstat(SealedFile)
	return err == nil
}

func parse(b []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%w: it has no private key in PEM format", ErrDamaged)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%w: %T is not an Ed25519 key", ErrDamaged, key)
	}
	return private, nil
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

func remove(dir *os.Root, name string) error {
	if err := dir.Remove(name); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
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
