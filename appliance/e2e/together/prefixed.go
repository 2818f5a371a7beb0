package main

import (
	"bytes"
	"io"
	"sync"
)

// prefixed writes whole lines with a prefix. Several may write to one out: they share mu.
type prefixed struct {
	prefix string
	mu     *sync.Mutex
	out    io.Writer
	rest   []byte // the beginning of a line
}

// Write keeps what follows the last newline for the next call.
func (p *prefixed) Write(b []byte) (int, error) {
	p.rest = append(p.rest, b...)
	end := bytes.LastIndexByte(p.rest, '\n') + 1
	if end == 0 {
		return len(b), nil
	}
	var all []byte
	for line := range bytes.Lines(p.rest[:end]) {
		all = append(append(all, p.prefix...), line...)
	}
	p.rest = append(p.rest[:0], p.rest[end:]...)
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.out.Write(all); err != nil {
		return 0, err
	}
	return len(b), nil
}

// flush writes a last line that has no newline.
func (p *prefixed) flush() {
	if len(p.rest) > 0 {
		_, _ = p.Write([]byte("\n"))
	}
}
