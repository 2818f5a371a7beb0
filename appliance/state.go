package appliance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"griddle/appliance/authority"
	"griddle/appliance/seal"
	"griddle/imagestore"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/durable"
	"griddle/imagestore/minisign"
)

// Names in the state directory that a command line on the same host reads.
const (
	TokenFile = "admin.token" // the administrator's bearer token
	URLFile   = "server.url"  // the https base URL of the last serve

	SiteKeyFile = "site.key" // the minisign secret key that signs what the store derives, and its catalog
)

// The other names there.
const (
	fleetFile   = "fleet.db"
	accountFile = "accounts.db"
	leasesFile  = "leases"
	settingsKey = "settings.key" // the age identity that the settings of machines are sealed for
	lockFile    = "lock"
)

// state is the state directory, held by this process alone until close.
type state struct {
	dir  string
	lock *os.File
}

// openState makes dir where it is missing, and locks it.
func openState(dir string) (*state, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("finding the state directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, Advice{fmt.Errorf("making the state directory: %w", err),
			"Run as a user who may write there, or give --state-dir DIR."}
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, Advice{fmt.Errorf("locking the state directory: %w", err),
			"Run as a user who may write there, or give --state-dir DIR."}
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, Advice{fmt.Errorf("locking the state directory: another griddle serve uses %s", dir),
				"Stop that one, or give this one another directory with --state-dir."}
		}
		return nil, fmt.Errorf("locking the state directory: %w", err)
	}
	return &state{dir: dir, lock: lock}, nil
}

func (s *state) close() error { return s.lock.Close() }

func (s *state) path(name string) string { return filepath.Join(s.dir, name) }

// write replaces a file of the directory durably: after a power cut it is the old one or the new one, whole.
func (s *state) write(name string, b []byte, mode fs.FileMode) error {
	return durable.Disk{}.Replace(s.path(name), b, mode)
}

// sealer is the key that the settings of machines are sealed with.
func (s *state) sealer() *seal.Key {
	return seal.In(durable.Disk{}, s.path(settingsKey),
		"griddle's own: the settings of machines are encrypted for this identity")
}

// adminToken returns the administrator's token, made at the first call ever.
func (s *state) adminToken() (string, error) {
	b, err := os.ReadFile(s.path(TokenFile))
	if errors.Is(err, fs.ErrNotExist) {
		b = []byte(rand.Text() + rand.Text() + "\n")
		err = s.write(TokenFile, b, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("reading the administrator's token: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if len(token) < 16 {
		return "", Advice{fmt.Errorf("reading the administrator's token: %s has less than 16 bytes", s.path(TokenFile)),
			"Remove the file; the next start creates a new one."}
	}
	return token, nil
}

// siteKey returns the key that signs what the store derives and its catalog, made at the first call ever, gives it to
// the store and makes the store trust it for that. A store that has a site's key already gets no other because the file
// of it is missing: the wrong state directory would make a new site of it, which agents and clients refuse.
func (s *state) siteKey(ctx context.Context, store *imagestore.Store) (*minisign.SecretKey, error) {
	key, err := minisign.ReadKey(s.path(SiteKeyFile), nil)
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.newSite(ctx, store); err != nil {
			return nil, err
		}
		key, _, err = minisign.LoadOrMakeKey(s.path(SiteKeyFile))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the site's key: %w", err)
	}
	err = store.Grant(ctx, catalog.Granting{Key: document.SiteGrant(key.Public()).String(), Comment: "this site"})
	if errors.Is(err, catalog.ErrRevoked) {
		return nil, Advice{fmt.Errorf("trusting the site's key: %w", err),
			fmt.Sprintf("Move %s and its .pub away; the next start creates another. Or trust it again with `griddle "+
				"key trust --again --site`.", s.path(SiteKeyFile))}
	}
	if err != nil {
		return nil, fmt.Errorf("trusting the site's key: %w", err)
	}
	store.Key = key
	return key, nil
}

// newSite returns an Advice where the store belongs to a site already.
func (s *state) newSite(ctx context.Context, store *imagestore.Store) error {
	keys, err := store.Keys(ctx)
	if err != nil {
		return fmt.Errorf("reading the store's trusted keys: %w", err)
	}
	for _, k := range keys {
		if k.Site && k.Revoked == nil {
			return Advice{fmt.Errorf("reading the site's key %s: no such file, "+
				"and the store trusts the site's key %s already", s.path(SiteKeyFile), k.ID),
				fmt.Sprintf("Is this the right --state-dir? Restore %s from the backup. If the key is lost, "+
					"`griddle key revoke %s --store DIR` allows a new site; "+
					"then machines need new boot images, and clients must forget the old site.", SiteKeyFile, k.ID)}
		}
	}
	return nil
}

// tighten takes from the group and from others what they may do with the files that hold secrets, and returns those
// that were open. The directory itself keeps others out; these files are what is copied.
func (s *state) tighten() (open []string, err error) {
	for _, name := range append([]string{TokenFile, SiteKeyFile, settingsKey}, authority.SecretFiles()...) {
		st, err := os.Stat(s.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && st.Mode().Perm()&0o077 != 0 {
			open = append(open, fmt.Sprintf("%s (%04o)", name, st.Mode().Perm()))
			err = os.Chmod(s.path(name), 0o600)
		}
		if err != nil {
			return open, fmt.Errorf("protecting the files with secrets: %w", err)
		}
	}
	return open, nil
}
