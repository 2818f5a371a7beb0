package authority

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"griddle/imagestore/durable"
)

// ErrNoNext is wrapped by Switch if there is no next CA.
var ErrNoNext = errors.New("there is no next CA")

// MakeNext makes the CA that will follow the present one, and returns its certificate in PEM. From its next reload on,
// the server says in boot images and notices that both count. Both files are durable when it returns; a crash before
// that may leave only the key, which the next call replaces. If there is a next CA already, the error is fs.ErrExist.
func MakeNext(stateDir string, now time.Time) ([]byte, error) {
	fail := func(err error) ([]byte, error) { return nil, fmt.Errorf("making the next CA: %w", err) }
	owner, err := os.Stat(filepath.Join(stateDir, File))
	if err != nil {
		return fail(err)
	}
	path := filepath.Join(stateDir, NextFile)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = &fs.PathError{Op: "making", Path: path, Err: fs.ErrExist}
		}
		return fail(err)
	}
	cert, key, err := makeCA(now)
	if err != nil {
		return fail(err)
	}
	secret := filepath.Join(stateDir, nextKeyFile)
	if err := (durable.Disk{}).Replace(secret, key, 0o600); err != nil {
		return fail(err)
	}
	// The server may run as another user, who owns the state directory. The certificate comes last: it makes the CA.
	if sys, ok := owner.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		err = os.Chown(secret, int(sys.Uid), int(sys.Gid))
	}
	if err == nil {
		err = durable.Disk{}.Create(path, cert, 0o644)
	}
	if err != nil {
		return fail(err)
	}
	return cert, nil
}

// Switch makes the next CA the present one, and forgets the one before. From its next reload on, the server has a
// certificate of it. Machines and operators that do not know it yet refuse the server then. The key is moved first and
// then the certificate; what a crash leaves in between is finished by the next call, or by the server's start.
func Switch(stateDir string) error {
	err := finishSwitch(stateDir)
	var next []byte
	if err == nil {
		next, err = readNext(stateDir)
	}
	if err == nil && next == nil {
		err = fmt.Errorf("%w in %s; `griddle key ca next` makes one", ErrNoNext, stateDir)
	}
	if err == nil {
		err = os.Rename(filepath.Join(stateDir, nextKeyFile), filepath.Join(stateDir, keyFile))
	}
	if err == nil {
		err = durable.Disk{}.SyncDir(stateDir)
	}
	if err == nil {
		err = finishSwitch(stateDir)
	}
	if err != nil {
		return fmt.Errorf("switching to the next CA: %w", err)
	}
	return nil
}

// finishSwitch moves the certificate of the next CA to the key that was moved before.
func finishSwitch(stateDir string) error {
	disk, path := durable.Disk{}, func(name string) string { return filepath.Join(stateDir, name) }
	if _, err := os.Lstat(path(nextKeyFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := tls.LoadX509KeyPair(path(NextFile), path(keyFile)); err != nil {
		return nil // nothing was begun; what is wrong with the present pair loadCA says
	}
	if err := disk.Rename(path(NextFile), path(File)); err != nil {
		return err
	}
	return disk.SyncDir(stateDir)
}

// readNext returns the certificate of the next CA, nil where there is none.
func readNext(stateDir string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(stateDir, NextFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if _, err := tls.LoadX509KeyPair(filepath.Join(stateDir, NextFile),
		filepath.Join(stateDir, nextKeyFile)); err != nil {
		return nil, fmt.Errorf("reading the next CA %s and its key: %w", NextFile, err)
	}
	return b, nil
}
