// Package yamltree reads a YAML file into a tree of values, each with its place, and reports every fault at once.
//
// Make a Reader for the file and call Read. Then take the tree apart with Object, Named, List, Text, Number and the
// others: each adds a fault where the file does not have what the format wants, and continues. Faults returns all of
// them, by place.
//
// A file is one document of UTF-8 text. These are faults in every format: a key that is repeated or unknown, a key that
// is not one word, a value of another type, a key without a value, tags, merge keys (<<), directives (%YAML), a second
// document and control characters. Anchors and aliases are for formats that ask for them (Options.Aliases). What
// aliases repeat is shared in the tree, and counted as if it were copied.
//
// Reading takes time and memory in proportion to the file, and stops at these bounds:
//
//	bytes of a file                            1 MiB, or what Options says
//	mappings and lists inside one another      32, or what Options says
//	values, with what aliases repeat           50,000
//	words and signs                            60,000
//	keys of one mapping                        4,096
//	bytes of the keys that lead to a value     8 KiB
//	keys and list entries without a value      1,000
//	documents, before the second is refused    16
//
// The last four are there because the parser (github.com/goccy/go-yaml) takes time in proportion to the square of each
// of them: 389 kB of keys in one mapping would take it ten seconds. They are checked on the tokens, which come in
// linear time.
//
// The package does no I/O. The same bytes give the same tree and the same faults, and no input makes it panic.
//
// Source: YAML 1.2.2, with the types of its core schema (section 10.3).
package yamltree

// Bounds of every file.
const (
	MaxBytes     = 1 << 20
	MaxDepth     = 32
	MaxValues    = 50_000
	MaxKeys      = 4096
	maxTokens    = 60_000
	maxPath      = 8 << 10
	maxEmpty     = 1000
	maxDocuments = 16
)

// Options are what a format takes of YAML. The zero value takes the least, within the largest bounds.
type Options struct {
	Bytes   int    // at most, in the file; 0: MaxBytes, which is the most
	Depth   int    // of mappings and lists inside one another; 0: MaxDepth, which is the most
	Aliases bool   // anchors and aliases are taken
	Instead string // what the format has in place of anchors and merge keys: the hint of their faults

	// All is for documents that another program reads too. It takes what that program may take and leaves it to the
	// caller: anchors and aliases, also of keys; an anchor that is defined again; tags (Node.Tag); merge keys
	// (Entry.Merge).
	All bool
}

func (o Options) bytes() int {
	if o.Bytes <= 0 || o.Bytes > MaxBytes {
		return MaxBytes
	}
	return o.Bytes
}

func (o Options) depth() int {
	if o.Depth <= 0 || o.Depth > MaxDepth {
		return MaxDepth
	}
	return o.Depth
}
