// Package publishtoken is the tokens with which publishers are known to the server.
//
// Call Make and Revoke on the server's host, Owner in the server. A token is a file in Dir, named by the SHA-256 of the
// token in hex with ".json" after it, mode 0600, that says whose it is; the token itself is nowhere. A running server
// looks there at each request that has a token, so that what is made or revoked counts at once.
package publishtoken

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"griddle/imagestore/durable"
	"griddle/imagestore/minisign"
)

// Dir is the directory of the tokens in the state directory.
const Dir = "publishers"

// file is what a token's file says.
type file struct {
	Key  string    `json:"key"` // the publisher's public key, base64: what it may sign is what the token may publish
	Made time.Time `json:"made"`
}

const maxFile = 4096 // bytes of such a file

func fileOf(stateDir, token string) string {
	sum := sha256.Sum256([]byte(token))
	return filepath.Join(stateDir, Dir, hex.EncodeToString(sum[:])+".json")
}

// Make makes the token of a publisher's key, and revokes those that the key had. The token is durable when it returns
// (durable.Disk.Create syncs the file and its directory), and cannot be read again later. A crash before the old ones
// are removed leaves both.
func Make(stateDir string, k minisign.PublicKey, now time.Time) (string, error) {
	owner, err := os.Stat(stateDir)
	if err != nil {
		return "", fmt.Errorf("making a publisher's token: %w", err)
	}
	dir := filepath.Join(stateDir, Dir)
	if err := (durable.Disk{}).MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making a publisher's token: %w", err)
	}
	old, err := files(stateDir, k)
	if err != nil {
		return "", err
	}
	token := rand.Text() + rand.Text()
	b, err := json.Marshal(file{Key: k.String(), Made: now.UTC().Truncate(time.Second)})
	if err == nil {
		err = durable.Disk{}.Create(fileOf(stateDir, token), append(b, '\n'), 0o600)
	}
	if sys, ok := owner.Sys().(*syscall.Stat_t); err == nil && ok && os.Geteuid() == 0 {
		// The server may run as another user, who owns the state directory.
		err = errors.Join(os.Chown(dir, int(sys.Uid), int(sys.Gid)),
			os.Chown(fileOf(stateDir, token), int(sys.Uid), int(sys.Gid)))
	}
	if err == nil {
		err = removeAll(old)
	}
	if err != nil {
		return "", fmt.Errorf("making a publisher's token: %w", err)
	}
	return token, nil
}

// Revoke makes the tokens of a publisher's key worthless, and returns how many there were.
func Revoke(stateDir string, k minisign.PublicKey) (int, error) {
	old, err := files(stateDir, k)
	if err == nil {
		err = removeAll(old)
	}
	if err != nil {
		return 0, fmt.Errorf("revoking a publisher's token: %w", err)
	}
	return len(old), nil
}

func removeAll(paths []string) error {
	var errs []error
	for _, p := range paths {
		errs = append(errs, durable.Disk{}.Remove(p))
	}
	return errors.Join(errs...)
}

// files lists the files of a key's tokens.
func files(stateDir string, k minisign.PublicKey) ([]string, error) {
	dir := filepath.Join(stateDir, Dir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the publishers' tokens: %w", err)
	}
	var out []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		have, err := read(path)
		if err != nil {
			return nil, fmt.Errorf("reading the publishers' tokens: %w", err)
		}
		if have == k {
			out = append(out, path)
		}
	}
	return out, nil
}

// Owner returns the key that the token belongs to, or fs.ErrNotExist.
func Owner(stateDir, token string) (minisign.PublicKey, error) {
	return read(fileOf(stateDir, token))
}

func read(path string) (minisign.PublicKey, error) {
	st, err := os.Stat(path)
	if err != nil {
		return minisign.PublicKey{}, err
	}
	if st.Size() > maxFile {
		return minisign.PublicKey{}, fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return minisign.PublicKey{}, err
	}
	var p file
	if err := json.Unmarshal(b, &p); err != nil {
		return minisign.PublicKey{}, fmt.Errorf("%s: %w", path, err)
	}
	k, err := minisign.ParsePublicKey(p.Key)
	if err != nil {
		return k, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}
