package packages

import (
	"fmt"
	"strings"
)

// Compare orders two versions as the package manager does. It returns a number below, equal to or above zero;
// ErrManager if the manager is not known.
func Compare(manager, a, b string) (int, error) {
	if err := known(manager); err != nil {
		return 0, fmt.Errorf("comparing versions: %w", err)
	}
	return order(manager, a, b), nil
}

// order is Compare for managers that are known.
func order(manager, a, b string) int {
	switch manager {
	case RPM:
		return orderParts(a, b, rpmvercmp)
	case Pacman:
		return orderPacman(a, b)
	case APK:
		return orderAPK(a, b)
	}
	return CompareDpkg(a, b)
}

// orderParts orders EPOCH:VERSION-RELEASE by epoch, then by version, then by release; a missing epoch is 0, and a
// missing release empty.
func orderParts(a, b string, part func(a, b string) int) int {
	ea, a := cutEpoch(a)
	eb, b := cutEpoch(b)
	if c := compareNumbers(ea, eb); c != 0 {
		return c
	}
	va, ra, _ := cutRelease(a)
	vb, rb, _ := cutRelease(b)
	if c := part(va, vb); c != 0 {
		return c
	}
	return part(ra, rb)
}

func digit(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }

func letter(s string) bool {
	return s != "" && (s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z')
}

func tail(s string) string {
	if s == "" {
		return s
	}
	return s[1:]
}

// number is the digits that s begins with.
func number(s string) string {
	n := 0
	for n < len(s) && digit(s[n:]) {
		n++
	}
	return s[:n]
}

// word is the letters that s begins with.
func word(s string) string {
	n := 0
	for n < len(s) && letter(s[n:]) {
		n++
	}
	return s[:n]
}

// compareNumbers orders two runs of digits of any length by value.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// cutEpoch splits a version "EPOCH:REST"; the epoch is digits, none means 0.
func cutEpoch(v string) (epoch, rest string) {
	n := number(v)
	if r, ok := strings.CutPrefix(v[len(n):], ":"); ok {
		return n, r
	}
	return "", v
}

// cutRelease splits a version at its last hyphen.
func cutRelease(v string) (version, release string, ok bool) {
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		return v[:i], v[i+1:], true
	}
	return v, "", false
}
