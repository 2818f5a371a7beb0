package update

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"griddle/initramfs/pool"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/sysroot"

	"golang.org/x/sys/unix"
)

// lockFile is locked while an update runs; it is in our folder of @persistent.
const lockFile = "update.lock"

// lock keeps other updates out until it is closed, or this program ends.
func (w *work) lock() (*os.File, error) { return lock(w.Pool) }

func lock(p *pool.Pool) (*os.File, error) {
	dir, err := pool.Persistent(p.Dir())
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	f, err := dir.OpenFile(lockFile, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the pool: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("%w; `griddle-agent status` on it says which", ErrBusy)
	} else if err != nil {
		err = fmt.Errorf("locking the pool: %w", err)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// note keeps an event in the pool's history.
func note(p *pool.Pool, e history.Event) error {
	dir, err := pool.Persistent(p.Dir())
	if err != nil {
		return err
	}
	defer dir.Close()
	return history.Append(dir, e)
}

// hostnameIn is the name that a root has in /etc/hostname, "" for none.
func hostnameIn(root *os.Root) string {
	b, err := sysroot.Dir{Root: root}.Read("etc/hostname")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
