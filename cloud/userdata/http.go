package userdata

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Handler serves seeds over HTTP, each below a path of its own that nobody can guess: user-data may hold secrets, and
// cloud-init has no other way to say who it is. Serve it over HTTPS where the wire is not trusted. It can be used by
// several goroutines at once.
type Handler struct {
	key   []byte
	mu    sync.RWMutex
	seeds map[string]map[string][]byte // by hash of the path's first element
}

// NewHandler returns a Handler whose paths are derived from key, at least 32 random bytes: with the same key a server that
// boots again finds its seed at the same path.
func NewHandler(key []byte) (*Handler, error) {
	if len(key) < 32 {
		return nil, errors.New("serving seeds: the key has less than 32 bytes")
	}
	return &Handler{key: bytes.Clone(key), seeds: map[string]map[string][]byte{}}, nil
}

// Path returns where the seed of a server is found: a slash, 32 hex digits and a slash. It is a secret.
func (h *Handler) Path(server string) string {
	m := hmac.New(sha256.New, h.key)
	m.Write([]byte("griddle seed\x00" + server))
	return "/" + hex.EncodeToString(m.Sum(nil)[:16]) + "/"
}

// Put serves files, which NoCloud returned, for a server, instead of those that it had.
func (h *Handler) Put(server string, files []SeedFile) {
	byName := make(map[string][]byte, len(files))
	for _, f := range files {
		byName[f.Name] = bytes.Clone(f.Content)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seeds[slot(h.Path(server))] = byName
}

// Delete serves nothing more for a server.
func (h *Handler) Delete(server string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.seeds, slot(h.Path(server)))
}

// slot hashes a path, so that the time a look-up takes tells nothing about the paths that are there.
func slot(path string) string {
	sum := sha256.Sum256([]byte(path))
	return string(sum[:])
}

// ServeHTTP answers GET and HEAD of a seed's files. Whatever else is asked for is not there.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	dir, name, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.NotFound(w, r)
		return
	}
	h.mu.RLock()
	content, found := h.seeds[slot("/"+dir+"/")][name]
	h.mu.RUnlock()
	if !found {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}
