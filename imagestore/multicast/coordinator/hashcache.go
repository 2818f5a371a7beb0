package coordinator

import (
	"fmt"
	"io"
	"sync"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
)

// hashCache keeps the block hashes of the encodings that were asked for last: hashing one reads all of it.
type hashCache struct {
	mu    sync.Mutex
	lists []hashed // the one that was used last is the last
}

type hashed struct {
	encoding blob.Digest
	layout   multicast.Layout
	digest   blob.Digest
	list     multicast.Hashes
}

// hashesKept is how many lists stay: 227 kB for 10 GB of encoding.
const hashesKept = 32

// of returns the digest of the list, which get gives afterwards.
func (c *hashCache) of(encoding blob.Digest, src Encoding, l multicast.Layout) (blob.Digest, error) {
	if h, ok := c.find(func(h hashed) bool { return h.encoding == encoding && h.layout == l }); ok {
		return h.digest, nil
	}
	list, err := multicast.HashBlocks(io.NewSectionReader(src, 0, src.Size()), l)
	if err != nil {
		return "", err
	}
	if len(list) == 0 {
		return "", fmt.Errorf("hashing blocks: encoding %s is empty", encoding)
	}
	h := hashed{encoding, l, blob.Sum(list), list}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lists = append(c.lists, h)
	c.lists = c.lists[max(0, len(c.lists)-hashesKept):]
	return h.digest, nil
}

// get returns the list that has the digest.
func (c *hashCache) get(d blob.Digest) (multicast.Hashes, bool) {
	h, ok := c.find(func(h hashed) bool { return h.digest == d })
	return h.list, ok
}

func (c *hashCache) find(is func(hashed) bool) (hashed, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, h := range c.lists {
		if is(h) {
			c.lists = append(append(c.lists[:i:i], c.lists[i+1:]...), h)
			return h, true
		}
	}
	return hashed{}, false
}

// Hashes returns the list of block hashes that d names, as long as a session that it is of may be joined.
func (c *Coordinator) Hashes(d blob.Digest) (multicast.Hashes, bool) { return c.hashes.get(d) }
