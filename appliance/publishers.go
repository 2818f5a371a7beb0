package appliance

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

// PublishersDir is the directory of publishers' tokens in the state directory. A token is a file, named by the SHA-256
// of the token in hex with ".json" after it, mode 0600, with a publisherToken in it; the token itself is nowhere. A
// running server looks there at each request that has a token, so that what is made or revoked counts at once.
const PublishersDir = "publishers"

// publisherToken is what a token's file says.
type publisherToken struct {
	Key  string    `json:"key"` // the publisher's public key, base64: what it may sign is what the token may publish
	Made time.Time `json:"made"`
}

const maxPublisherToken = 4096 // bytes of such a file

func publisherFile(stateDir, token string) string {
	sum := sha256.Sum256([]byte(token))
	return filepath.Join(stateDir, PublishersDir, hex.EncodeToString(sum[:])+".json")
}

// MakePublisherToken makes the token of a publisher's key, and revokes those that the key had. The token is durable
// when it returns (durable.Disk.Create syncs the file and its directory), and cannot be read again later. A crash
// before the old ones are removed leaves both.
func MakePublisherToken(stateDir string, k minisign.PublicKey, now time.Time) (string, error) {
	owner, err := os.Stat(stateDir)
	if err != nil {
		return "", fmt.Errorf("making a publisher's token: %w", err)
	}
	dir := filepath.Join(stateDir, PublishersDir)
	if err := (durable.Disk{}).MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making a publisher's token: %w", err)
	}
	old, err := publisherFiles(stateDir, k)
	if err != nil {
		return "", err
	}
	token := rand.Text() + rand.Text()
	b, err := json.Marshal(publisherToken{Key: k.String(), Made: now.UTC().Truncate(time.Second)})
	if err == nil {
		err = durable.Disk{}.Create(publisherFile(stateDir, token), append(b, '\n'), 0o600)
	}
	if sys, ok := owner.Sys().(*syscall.Stat_t); err == nil && ok && os.Geteuid() == 0 {
		// The server may run as another user, who owns the state directory.
		err = errors.Join(os.Chown(dir, int(sys.Uid), int(sys.Gid)),
			os.Chown(publisherFile(stateDir, token), int(sys.Uid), int(sys.Gid)))
	}
	if err == nil {
		err = removeAll(old)
	}
	if err != nil {
		return "", fmt.Errorf("making a publisher's token: %w", err)
	}
	return token, nil
}

// RevokePublisherTokens makes the tokens of a publisher's key worthless, and returns how many there were.
func RevokePublisherTokens(stateDir string, k minisign.PublicKey) (int, error) {
	old, err := publisherFiles(stateDir, k)
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

// publisherFiles lists the files of a key's tokens.
func publisherFiles(stateDir string, k minisign.PublicKey) ([]string, error) {
	dir := filepath.Join(stateDir, PublishersDir)
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
		have, err := readPublisherFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading the publishers' tokens: %w", err)
		}
		if have == k {
			out = append(out, path)
		}
	}
	return out, nil
}

// publisherOf returns the key that the token belongs to, or fs.ErrNotExist.
func publisherOf(stateDir, token string) (minisign.PublicKey, error) {
	return readPublisherFile(publisherFile(stateDir, token))
}

func readPublisherFile(path string) (minisign.PublicKey, error) {
	st, err := os.Stat(path)
	if err != nil {
		return minisign.PublicKey{}, err
	}
	if st.Size() > maxPublisherToken {
		return minisign.PublicKey{}, fmt.Errorf("%s has more than %d bytes", path, maxPublisherToken)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return minisign.PublicKey{}, err
	}
	var p publisherToken
	if err := json.Unmarshal(b, &p); err != nil {
		return minisign.PublicKey{}, fmt.Errorf("%s: %w", path, err)
	}
	k, err := minisign.ParsePublicKey(p.Key)
	if err != nil {
		return k, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}
