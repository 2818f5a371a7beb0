// Package linelength finds lines that are too long to read, in Go source and in documents.
//
// Call Go or Markdown with the text of a file. Each returns the numbers of the lines that are over its limit, counted
// from 1. A tab goes to the next multiple of 4 columns. TestLines of this package does that for the whole repository.
//
// What cannot be broken does not count. In Go: raw strings and comments of several lines, directives of the
// compiler and of go generate, and comments of one word, such as an address. In Markdown: code, tables, headings,
// and lines of one word.
package linelength

import (
	"bytes"
	"go/scanner"
	"go/token"
	"regexp"
	"strings"
)

// The limits, in columns.
const (
	MaxGo       = 120
	MaxMarkdown = 110
)

// columns is the width of a line.
func columns(line string) int {
	n := 0
	for _, r := range line {
		n++
		if r == '\t' {
			n += 3 - (n-1)%4
		}
	}
	return n
}

var (
	directive = regexp.MustCompile(`^\s*//(go:|export |line |nolint)`)
	oneWord   = regexp.MustCompile(`^\s*(// )?\S+$`)
)

// Go returns the lines of Go source that are over MaxGo columns.
func Go(src []byte) []int {
	fine := multiline(src)
	var long []int
	n := 0
	for line := range strings.Lines(string(src)) {
		n++
		line = strings.TrimSuffix(line, "\n")
		if columns(line) > MaxGo && !fine[n] && !directive.MatchString(line) && !oneWord.MatchString(line) {
			long = append(long, n)
		}
	}
	return long
}

// multiline returns the lines of raw strings and general comments that go over several lines.
func multiline(src []byte) map[int]bool {
	var s scanner.Scanner
	file := token.NewFileSet().AddFile("", -1, len(src))
	s.Init(file, src, nil, scanner.ScanComments)
	lines := map[int]bool{}
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			return lines
		}
		if more := strings.Count(text, "\n"); more > 0 && (tok == token.STRING || tok == token.COMMENT) {
			for i := range more + 1 {
				lines[file.Line(pos)+i] = true
			}
		}
	}
}

var (
	fence = regexp.MustCompile("^\\s*(```|~~~)")
	item  = regexp.MustCompile(`^\s*([-*+]|\d+[.)])\s`)
)

// Markdown returns the lines of a document that are over MaxMarkdown columns.
func Markdown(doc []byte) []int {
	var long []int
	var fenced, list bool
	n := 0
	for b := range bytes.Lines(doc) {
		n++
		line := strings.TrimRight(string(b), "\r\n")
		if fence.MatchString(line) {
			fenced = !fenced
			continue
		}
		switch {
		case item.MatchString(line):
			list = true
		case line != "" && !strings.HasPrefix(line, " "):
			list = false
		}
		code := fenced || strings.HasPrefix(line, "    ") && !list
		table := strings.HasPrefix(strings.TrimSpace(line), "|")
		if columns(line) > MaxMarkdown && !code && !table && !strings.HasPrefix(line, "#") &&
			!oneWord.MatchString(line) {
			long = append(long, n)
		}
	}
	return long
}
