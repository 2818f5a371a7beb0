package yamltree

import (
	"fmt"
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

// undecodable finds the first byte that no YAML file has (YAML 1.2.2 section 5.1).
func undecodable(file string, b []byte) (Place, bool) {
	first := Place{file, 1, 1}
	at := first
	for len(b) > 0 {
		c, n := utf8.DecodeRune(b)
		if c == utf8.RuneError && n == 1 || c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f ||
			c == 0xfeff && at != first {
			return at, false
		}
		if at.Column++; c == '\n' {
			at.Line, at.Column = at.Line+1, 1
		}
		b = b[n:]
	}
	return Place{}, true
}

// level is a mapping or list that is open at a token.
type level struct {
	column int  // where its keys begin; 0 in flow style
	braces bool // it is a mapping in flow style
	colon  bool // in flow style: the present entry has its colon
	keys   int
	key    int // bytes of the present key
}

// budget goes over the tokens of a file and adds up what the parser will have to do.
type budget struct {
	depth                    int
	levels                   []level
	path, empty, docs, total int
	marks                    int // anchors and tags with nothing else since: the parser recurses for each
}

// unbounded finds what would have the parser recurse deeply or take long, before it does. It is one pass in linear
// time.
func unbounded(file string, tokens token.Tokens, depth int) (Place, string) {
	b := budget{depth: depth}
	var words token.Tokens
	for _, t := range tokens {
		if t.Type != token.CommentType {
			words = append(words, t)
		}
	}
	for i, t := range words {
		var before, after *token.Token
		if i > 0 {
			before = words[i-1]
		}
		if i+1 < len(words) {
			after = words[i+1]
		}
		if text := b.take(before, t, after); text != "" {
			return Place{file, max(1, t.Position.Line), max(1, t.Position.Column)}, text
		}
	}
	return Place{}, ""
}

// take counts one token, and says which bound is passed.
func (b *budget) take(before, t, after *token.Token) string {
	switch named := before != nil && before.Type == token.AnchorType; {
	case t.Type == token.AnchorType || t.Type == token.TagType:
		b.marks++
	case !named:
		b.marks = 0
	}
	switch t.Type {
	case token.SequenceStartType, token.MappingStartType:
		b.levels = append(b.levels, level{braces: t.Type == token.MappingStartType})
	case token.SequenceEndType, token.MappingEndType:
		if top := b.flow(); top != nil {
			b.entryEnds(before, top)
			b.pop()
		}
	case token.CollectEntryType:
		if top := b.flow(); top != nil {
			b.entryEnds(before, top)
		}
	case token.MappingKeyType:
		b.empty++ // its value may be missing
		b.opens(t.Position.Column)
	case token.MappingValueType:
		b.key(before, t, after)
	case token.SequenceEntryType:
		if b.flow() == nil {
			b.opens(t.Position.Column)
			if after == nil || after.Position.Line > t.Position.Line && after.Position.Column <= t.Position.Column {
				b.empty++
			}
		}
	case token.DocumentHeaderType, token.DocumentEndType:
		b.docs++
		b.levels, b.path = nil, 0
	}
	return b.passed()
}

func (b *budget) passed() string {
	b.total++
	top := level{}
	if len(b.levels) > 0 {
		top = b.levels[len(b.levels)-1]
	}
	switch {
	case b.total > maxTokens:
		return fmt.Sprintf("the file has more than %d words and signs", maxTokens)
	case len(b.levels) > 2*b.depth, b.marks > b.depth:
		return tooDeep(b.depth)
	case top.keys > MaxKeys:
		return fmt.Sprintf("the mapping has more than %d keys", MaxKeys)
	case b.path > maxPath:
		return fmt.Sprintf("the keys that lead here have more than %d bytes", maxPath)
	case b.empty > maxEmpty:
		return fmt.Sprintf("more than %d keys and list entries have no value", maxEmpty)
	case b.docs > maxDocuments:
		return fmt.Sprintf("the file has more than %d documents", maxDocuments)
	}
	return ""
}

// flow is the innermost level where that is one in flow style, else nil.
func (b *budget) flow() *level {
	if n := len(b.levels); n > 0 && b.levels[n-1].column == 0 {
		return &b.levels[n-1]
	}
	return nil
}

func (b *budget) pop() {
	b.path -= b.levels[len(b.levels)-1].key
	b.levels = b.levels[:len(b.levels)-1]
}

// opens has a level in block style that begins at column be the innermost one.
func (b *budget) opens(column int) *level {
	for n := len(b.levels); n > 0 && b.levels[n-1].column > column; n-- {
		b.pop()
	}
	if n := len(b.levels); n == 0 || b.levels[n-1].column < column {
		b.levels = append(b.levels, level{column: max(1, column)})
	}
	return &b.levels[len(b.levels)-1]
}

// key counts a key, which ends at its colon.
func (b *budget) key(before, t, after *token.Token) {
	column, length := t.Position.Column, 0
	if before != nil && before.Position.Line == t.Position.Line {
		column = before.Position.Column
	}
	if before != nil {
		length = len(before.Value)
	}
	top, missing := b.flow(), after == nil
	if top == nil {
		top = b.opens(column)
		missing = missing || after.Position.Line > t.Position.Line &&
			(after.Position.Column < column || after.Position.Column == column && after.Type != token.SequenceEntryType)
	} else {
		top.colon = true
		missing = missing || after.Type == token.CollectEntryType || after.Type == token.MappingEndType ||
			after.Type == token.SequenceEndType
	}
	if missing {
		b.empty++
	}
	b.path += length - top.key
	top.key = length
	top.keys++
}

// entryEnds notes the end of an entry in flow style: {a, b} has keys without values.
func (b *budget) entryEnds(before *token.Token, top *level) {
	if top.braces && !top.colon && before != nil && before.Type != token.MappingStartType {
		b.empty++
		top.keys++
	}
	top.colon = false
}

func tooDeep(depth int) string {
	return fmt.Sprintf("more than %d mappings and lists are inside one another", depth)
}
