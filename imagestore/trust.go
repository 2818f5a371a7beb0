package imagestore

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Trust is a set of public keys whose signatures count. The zero value trusts nobody. It may be used by any number
// of goroutines.
type Trust struct {
	mu   sync.RWMutex
	keys map[[8]byte]PublicKey
}

// NewTrust returns a set with the given keys.
func NewTrust(keys ...PublicKey) *Trust {
	t := &Trust{}
	for _, k := range keys {
		t.Add(k)
	}
	return t
}

// ParseTrust reads one public key from each line, and reports every line that is none.
func ParseTrust(lines []string) (*Trust, error) {
	t := &Trust{}
	var errs []error
	for _, l := range lines {
		k, err := ParsePublicKey(l)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		t.Add(k)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("reading trusted keys: %w", err)
	}
	return t, nil
}

// Add trusts k too. A key whose ID is taken replaces nothing: the first stays, since a key ID is chosen by whoever
// makes the key.
func (t *Trust) Add(k PublicKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.keys == nil {
		t.keys = map[[8]byte]PublicKey{}
	}
	if _, ok := t.keys[k.id]; !ok {
		t.keys[k.id] = k
	}
}

// Keys lists the trusted keys by ID.
func (t *Trust) Keys() []PublicKey {
	if t == nil {
		return nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]PublicKey, 0, len(t.keys))
	for _, k := range t.keys {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b PublicKey) int { return cmp.Compare(a.ID(), b.ID()) })
	return out
}

func (t *Trust) find(id [8]byte) (PublicKey, bool) {
	if t == nil {
		return PublicKey{}, false
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	k, ok := t.keys[id]
	return k, ok
}
