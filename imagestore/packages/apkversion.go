package packages

import (
	"slices"
	"strings"
)

// The parts of an apk version, in the order in which they may follow one another: 1.02c_rc1~0badc0de-r3.
const (
	apkFirst = iota
	apkNumber
	apkLetter
	apkSuffix
	apkSuffixNumber
	apkCommit
	apkRevision
	apkEnd
	apkInvalid // comes after all
)

// apkPart is one part of a version, and what follows it.
type apkPart struct {
	kind int
	text string
	rank int // of suffixes; negative for pre-releases
	rest string
}

// orderAPK orders as apk does since version 3. Of two versions that are equal up to the end of one, the longer is
// newer, unless it goes on with the suffix of a pre-release.
func orderAPK(a, b string) int {
	x, y := firstAPK(a), firstAPK(b)
	for x.kind == y.kind && x.kind < apkEnd {
		if c := x.compare(y); c != 0 {
			return c
		}
		x, y = x.next(), y.next()
	}
	switch {
	case x.kind == y.kind:
		return 0
	case x.kind == apkSuffix && x.rank < 0:
		return -1
	case y.kind == apkSuffix && y.rank < 0:
		return 1
	}
	return y.kind - x.kind
}

// compare orders two parts of one kind.
func (p apkPart) compare(o apkPart) int {
	switch p.kind {
	case apkSuffix:
		return p.rank - o.rank
	case apkNumber:
		if p.text[0] == '0' || o.text[0] == '0' { // as in a fraction
			return strings.Compare(p.text, o.text)
		}
	case apkLetter, apkCommit:
		return strings.Compare(p.text, o.text)
	}
	return compareNumbers(p.text, o.text)
}

func firstAPK(v string) apkPart { return digits(apkFirst, v) }

func digits(kind int, s string) apkPart {
	n := number(s)
	if n == "" {
		kind = apkInvalid
	}
	return apkPart{kind: kind, text: n, rest: s[len(n):]}
}

// next is the part after p.
func (p apkPart) next() apkPart {
	s := p.rest
	switch {
	case s == "":
		return apkPart{kind: apkEnd}
	case s[0] >= 'a' && s[0] <= 'z' && p.kind <= apkNumber:
		return apkPart{kind: apkLetter, text: s[:1], rest: s[1:]}
	case s[0] == '.' && p.kind <= apkNumber:
		return digits(apkNumber, s[1:])
	case digit(s) && p.kind == apkSuffix:
		return digits(apkSuffixNumber, s)
	case s[0] == '_' && p.kind <= apkSuffixNumber:
		name := word(s[1:])
		if rank, ok := apkRank(name); ok {
			return apkPart{kind: apkSuffix, text: name, rank: rank, rest: s[1+len(name):]}
		}
	case s[0] == '~' && p.kind < apkCommit:
		hash := s[1 : len(s)-len(strings.TrimLeft(s[1:], "0123456789abcdef"))]
		if hash != "" {
			return apkPart{kind: apkCommit, text: hash, rest: s[1+len(hash):]}
		}
	case strings.HasPrefix(s, "-r") && p.kind < apkRevision:
		return digits(apkRevision, s[2:])
	}
	return apkPart{kind: apkInvalid}
}

func apkRank(suffix string) (int, bool) {
	before, after := []string{"alpha", "beta", "pre", "rc"}, []string{"cvs", "svn", "git", "hg", "p"}
	if i := slices.Index(before, suffix); i >= 0 {
		return i - len(before), true
	}
	i := slices.Index(after, suffix)
	return i, i >= 0
}
