// Package durabletest finds out what a program leaves behind if it ends at any of its file operations.
//
// A Tape is a disk that records what is done with it, and fails where a test says so. A Disk, made by Load
// of a directory's state before and fed with the operations of a Tape, knows what is on disk for sure and what is
// only in memory; PowerCut writes down what a power cut may have left. Everywhere does all of it, at each operation.
package durabletest

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"griddle/imagestore/durable"
)

// Did is an operation that was carried out.
type Did struct {
	durable.Op
	At time.Time
}

// Tape records operations below a directory. The zero value, with Root, works.
type Tape struct {
	Root string // only what is below counts, and is recorded by its path below
	// Fault, if any, is asked before operation number n, from 0, and may have it fail; see durable.Disk.Before.
	Fault func(n int, o *durable.Op) error

	// ReadFault, if any, is asked before read number n, from 0, and may have it fail; see durable.Disk.Reading.
	ReadFault func(n int) error

	mu    sync.Mutex
	n     int
	reads int
	ops   []Did
}

// Disk is what to give to the program.
func (t *Tape) Disk() durable.Disk { return durable.Disk{Before: t.before, Reading: t.reading} }

// Ops returns the operations so far. Failed ones are missing, except the part of a Write that was done.
func (t *Tape) Ops() []Did {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ops[:len(t.ops):len(t.ops)]
}

// Len is how many operations were tried so far.
func (t *Tape) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// Reads is how many reads were tried so far.
func (t *Tape) Reads() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reads
}

func (t *Tape) reading(path string) error {
	if _, ok := t.below(path); !ok {
		return nil
	}
	t.mu.Lock()
	n := t.reads
	t.reads++
	t.mu.Unlock()
	if t.ReadFault == nil {
		return nil
	}
	return t.ReadFault(n)
}

func (t *Tape) before(o *durable.Op) error {
	path, ok := t.below(o.Path)
	if !ok {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n, whole := t.n, len(o.Data)
	t.n++
	var err error
	if t.Fault != nil {
		err = t.Fault(n, o)
	}
	if err == nil || o.Kind == durable.Write && len(o.Data) < whole {
		d := Did{Op: *o, At: time.Now()}
		d.Path, d.Data = path, bytes.Clone(o.Data)
		d.To, _ = t.below(o.To)
		t.ops = append(t.ops, d)
	}
	return err
}

func (t *Tape) below(path string) (string, bool) {
	rel, err := filepath.Rel(t.Root, path)
	return rel, err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

var (
	temporary = regexp.MustCompile(`(put-|\.durable-)[0-9A-Za-z]+`)
	digest    = regexp.MustCompile(`[0-9a-f]{2}/[0-9a-f]{64}|\bsha256/[0-9a-f]{2}$`)
	lease     = regexp.MustCompile(`leases/[0-9A-Za-z]+`)
	tree      = regexp.MustCompile(`trees/[0-9a-f]{64}`)
)

// Text is a trace for people and goldens: a line for each operation, writes to one place in a row as one, digests
// and temporary names by the order in which they come up.
func Text(ops []Did) string {
	var b strings.Builder
	last := ""
	temporaries, digests, trees := map[string]string{}, map[string]string{}, map[string]string{}
	number := func(m map[string]string, what string) func(string) string {
		return func(s string) string {
			if m[s] == "" {
				m[s] = fmt.Sprintf("%s%d", what, len(m)+1)
			}
			return m[s]
		}
	}
	name := func(p string) string {
		p = temporary.ReplaceAllStringFunc(p, number(temporaries, "temporary"))
		p = tree.ReplaceAllStringFunc(lease.ReplaceAllString(p, "leases/LEASE"), number(trees, "trees/tree"))
		return digest.ReplaceAllStringFunc(p, func(s string) string {
			if strings.HasPrefix(s, "sha256/") {
				return "sha256/DD"
			}
			return "DD/" + number(digests, "blob")(s)
		})
	}
	for _, o := range ops {
		l := fmt.Sprintf("%s %s", o.Kind, name(o.Path))
		if o.Kind == durable.Mkdir && strings.HasSuffix(l, "/DD") {
			continue // whether another blob begins with the same digits is chance
		}
		if o.To != "" && (o.Kind == durable.Rename || o.Kind == durable.Link) {
			l += " -> " + name(o.To)
		}
		if l != last || o.Kind != durable.Write {
			fmt.Fprintln(&b, l)
		}
		last = l
	}
	return b.String()
}
