package imagestore

import (
	"fmt"
	"strings"
	"time"
)

// CompareVersions orders two versions as dpkg does (deb-version(7)): runs of digits by value, letters before all
// else, and "~" before even the end of a part, so that 1.0~rc1 < 1.0 < 1.0a < 1.0+1 and 2 < 10. It returns a number
// below, equal to or above zero.
func CompareVersions(a, b string) int {
	ua, ra := cutRevision(a)
	ub, rb := cutRevision(b)
	if c := comparePart(ua, ub); c != 0 {
		return c
	}
	return comparePart(ra, rb)
}

// cutRevision splits a version at its last hyphen. Epochs need no care: a version has no colon here.
func cutRevision(v string) (upstream, revision string) {
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		return v[:i], v[i+1:]
	}
	return v, ""
}

func digit(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }

// weight is dpkg's order of a byte outside digits; the end of the string, and a digit, weigh 0.
func weight(s string) int {
	switch {
	case s == "" || digit(s):
		return 0
	case s[0] == '~':
		return -1
	case s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z':
		return int(s[0])
	}
	return int(s[0]) + 256
}

func comparePart(a, b string) int {
	for a != "" || b != "" {
		for a != "" && !digit(a) || b != "" && !digit(b) {
			if c := weight(a) - weight(b); c != 0 {
				return c
			}
			// Equal weights mean that both have the same byte here, or that one is at its end and the other too.
			a, b = tail(a), tail(b)
		}
		na, nb := number(a), number(b)
		a, b = a[len(na):], b[len(nb):]
		na, nb = strings.TrimLeft(na, "0"), strings.TrimLeft(nb, "0")
		if len(na) != len(nb) {
			return len(na) - len(nb)
		}
		if c := strings.Compare(na, nb); c != 0 {
			return c
		}
	}
	return 0
}

func tail(s string) string {
	if s == "" {
		return s
	}
	return s[1:]
}

func number(s string) string {
	n := 0
	for n < len(s) && digit(s[n:]) {
		n++
	}
	return s[:n]
}

// nextVersion is the default version: the UTC date and the first counter that is above all that are taken on it.
func nextVersion(now time.Time, taken []string) string {
	day := now.UTC().Format("20060102")
	for n := 1; ; n++ {
		v := fmt.Sprintf("%s.%d", day, n)
		free := true
		for _, t := range taken {
			if strings.HasPrefix(t, day+".") && CompareVersions(t, v) >= 0 {
				free = false
				break
			}
		}
		if free {
			return v
		}
	}
}
