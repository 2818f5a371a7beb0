package coordinator

import (
	"fmt"
	"io"
	"sync"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
)

// hashCache keeps the block hashes of the latest encodings, since hashing reads all of an encoding.
type hashCache struct {
	mu    sync.Mutex
	lists []hashed // in the order of their last use
}

type hashed struct {
	encoding blob.Digest
	layout   multicast.Layout
	digest   blob.Digest
	list     multicast.Hashes
}

// hashesKept is how many lists are kept. A list has 227 kB for an encoding of 10 GB.
const hashesKept = 32

// of returns the digest of an encoding's list, and keeps the list for get.
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

// get returns the list with the digest d.
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

// Hashes returns the list of block hashes with the digest d, if it is one of the latest 32.
func (c *Coordinator) Hashes(d blob.Digest) (multicast.Hashes, bool) { return c.hashes.get(d) }
