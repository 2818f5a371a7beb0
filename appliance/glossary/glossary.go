// Package glossary finds words that users should not meet, in documents and in Go source.
//
// Call Parse with the text of docs/GLOSSARY.md to get the words, then Word.Find with each Text of a file: Plain
// for a document, Source for a Go file. TestWords of this package does that for the whole repository.
//
// The words are the rows of the table below the heading "Words that we do not use":
//
//	| Do not write           | Write              | Except           |
//	| ---                    | ---                | ---              |
//	| `phrase`, `its plural` | the word, in prose | `a phrase apart` |
//
// A phrase is between backquotes. It matches whole words in any case, also across the end of a line. A match
// inside one of the exceptions does not count.
package glossary

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// heading is the section of the document whose table lists the words.
const heading = "## Words that we do not use"

// A Word is one row of the table: phrases that mean the same, and what to write in their place.
type Word struct {
	Instead string // what to write, as Markdown

	avoid  []*regexp.Regexp
	except []*regexp.Regexp
}

// Parse reads the words from the text of docs/GLOSSARY.md. It fails if the table is missing or a row is incomplete.
func Parse(doc []byte) ([]Word, error) {
	_, table, ok := bytes.Cut(doc, []byte(heading+"\n"))
	if !ok {
		return nil, fmt.Errorf("parsing the glossary: the section %q is missing", heading)
	}
	var words []Word
	for line := range strings.Lines(string(table)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "## ") {
			break
		}
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if len(cells) != 3 || strings.TrimSpace(cells[1]) == "" {
			return nil, fmt.Errorf("parsing the glossary: the row %q does not have three cells", line)
		}
		words = append(words, Word{
			Instead: strings.TrimSpace(cells[1]), avoid: phrases(cells[0]), except: phrases(cells[2]),
		})
	}
	if len(words) == 0 {
		return nil, errors.New("parsing the glossary: the table has no rows")
	}
	return words, nil
}

var quoted = regexp.MustCompile("`([^`]+)`")

// phrases returns an expression for each phrase between backquotes.
func phrases(cell string) []*regexp.Regexp {
	var found []*regexp.Regexp
	for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
		words := strings.Fields(m[1])
		for i, w := range words {
			words[i] = regexp.QuoteMeta(w)
		}
		found = append(found, regexp.MustCompile(`(?i)\b`+strings.Join(words, `\s+`)+`\b`))
	}
	return found
}

// Find returns the places in a text where one of the phrases is, as half-open ranges of bytes in Body.
func (w Word) Find(t Text) [][]int {
	var fine, found [][]int
	for _, e := range w.except {
		fine = append(fine, e.FindAllIndex(t.Body, -1)...)
	}
	for _, a := range w.avoid {
		for _, m := range a.FindAllIndex(t.Body, -1) {
			if !within(m, fine) {
				found = append(found, m)
			}
		}
	}
	return found
}

func within(m []int, ranges [][]int) bool {
	for _, r := range ranges {
		if r[0] <= m[0] && m[1] <= r[1] {
			return true
		}
	}
	return false
}

// Without returns the document with the table of words as blanks, so that the glossary can be checked like the
// other documents. Places stay the same.
func Without(doc []byte) []byte {
	before, table, ok := bytes.Cut(doc, []byte(heading+"\n"))
	if !ok {
		return doc
	}
	out := append(bytes.Clone(before), heading+"\n"...)
	for line := range bytes.Lines(table) {
		if bytes.HasPrefix(line, []byte("| ")) {
			line = bytes.Repeat([]byte(" "), len(line)-1)
			line = append(line, '\n')
		}
		out = append(out, line...)
	}
	return out
}
