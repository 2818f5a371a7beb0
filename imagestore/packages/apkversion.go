package packages

import (
	"slices"
	"strings"
)

// The parts of an apk version, in the order in which they may follow one another: 1.02c_rc1-r3.
const (
	apkFraction = iota // digits after a dot, where leading zeros count as in a fraction
	apkNumber
	apkLetter
	apkSuffix
	apkSuffixNumber
	apkRevision
	apkEnd
	apkInvalid // comes after all
)

// apkParts reads a version part by part.
type apkParts struct {
	kind int
	rest string
}

// orderAPK orders as apk does. Of two versions that are equal up to the end of one, the longer is newer, unless it goes on with
// the suffix of a pre-release.
func orderAPK(a, b string) int {
	x, y := apkParts{apkNumber, a}, apkParts{apkNumber, b}
	var av, bv apkValue
	for x.kind == y.kind && x.kind < apkEnd && av == bv {
		av, bv = x.next(), y.next()
	}
	if c := av.compare(bv); c != 0 {
		return c
	}
	if x.kind == y.kind {
		return 0
	}
	if x.kind == apkSuffix && x.next().rank < 0 {
		return -1
	}
	if y.kind == apkSuffix && y.next().rank < 0 {
		return 1
	}
	return y.kind - x.kind
}

// apkValue is a part: rank first, then digits by value.
type apkValue struct {
	rank   int
	digits string // without leading zeros
}

func (v apkValue) compare(w apkValue) int {
	// A fraction that begins with zeros has a negative rank and no digits: it is below any that does not.
	if v.rank != w.rank {
		return v.rank - w.rank
	}
	return compareNumbers(v.digits, w.digits)
}

// next takes the part that comes next, and finds out what follows it.
func (p *apkParts) next() apkValue {
	switch p.kind {
	case apkFraction:
		if zeros := len(p.rest) - len(strings.TrimLeft(p.rest, "0")); zeros > 0 {
			p.rest, p.kind = p.rest[zeros:], apkNumber
			if !digit(p.rest) {
				p.follow()
			}
			return apkValue{rank: -zeros}
		}
		return p.number()
	case apkNumber, apkSuffixNumber, apkRevision:
		return p.number()
	case apkLetter:
		v := apkValue{rank: int(p.rest[0])}
		p.rest = p.rest[1:]
		p.follow()
		return v
	case apkSuffix:
		name := word(p.rest)
		before, after := []string{"alpha", "beta", "pre", "rc"}, []string{"cvs", "svn", "git", "hg", "p"}
		i, j := slices.Index(before, name), slices.Index(after, name)
		p.rest = p.rest[len(name):]
		switch {
		case i >= 0:
			p.follow()
			return apkValue{rank: i - len(before)}
		case j >= 0:
			p.follow()
			return apkValue{rank: j}
		}
		p.kind = apkInvalid
	}
	return apkValue{rank: -1}
}

func (p *apkParts) number() apkValue {
	n := number(p.rest)
	if p.rest = p.rest[len(n):]; n == "" && p.kind != apkNumber {
		p.kind = apkInvalid
		return apkValue{rank: -1}
	}
	p.follow()
	return apkValue{digits: strings.TrimLeft(n, "0")}
}

// follow finds out what part comes after one of p.kind.
func (p *apkParts) follow() {
	next := apkInvalid
	switch was := p.kind; {
	case p.rest == "":
		next = apkEnd
	case was <= apkNumber && p.rest[0] >= 'a' && p.rest[0] <= 'z':
		next = apkLetter
	case was == apkLetter && digit(p.rest):
		next = apkNumber
	case was == apkSuffix && digit(p.rest):
		next = apkSuffixNumber
	case p.rest[0] == '.' && was <= apkLetter:
		next, p.rest = apkFraction, p.rest[1:]
	case p.rest[0] == '_' && was <= apkSuffixNumber:
		next, p.rest = apkSuffix, p.rest[1:]
	case strings.HasPrefix(p.rest, "-r") && was < apkRevision:
		next, p.rest = apkRevision, p.rest[2:]
	}
	p.kind = next
}
