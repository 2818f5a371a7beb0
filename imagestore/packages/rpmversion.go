package packages

import "strings"

// rpmvercmp is rpm's function of that name: runs of digits and of letters are compared one by one, "~" comes before the
// end and "^" just after it.
func rpmvercmp(a, b string) int {
	separator := func(s string) bool { return s != "" && !digit(s) && !letter(s) && s[0] != '~' && s[0] != '^' }
	for a != "" || b != "" {
		for separator(a) {
			a = a[1:]
		}
		for separator(b) {
			b = b[1:]
		}
		if at, bt := strings.HasPrefix(a, "~"), strings.HasPrefix(b, "~"); at || bt {
			if at != bt {
				return truth(bt) - truth(at)
			}
			a, b = a[1:], b[1:]
			continue
		}
		if ac, bc := strings.HasPrefix(a, "^"), strings.HasPrefix(b, "^"); ac || bc {
			switch {
			case a == "":
				return -1
			case b == "":
				return 1
			case ac != bc:
				return truth(bc) - truth(ac)
			}
			a, b = a[1:], b[1:]
			continue
		}
		if a == "" || b == "" {
			break
		}
		c, na, nb := runs(a, b)
		if c != 0 {
			return c
		}
		a, b = a[na:], b[nb:]
	}
	return truth(a != "") - truth(b != "")
}

// runs compares the runs of digits, or of letters, as the one of a is, with which a and b begin. A number
// is newer than letters.
func runs(a, b string) (c, na, nb int) {
	if digit(a) {
		x, y := number(a), number(b)
		if y == "" {
			return 1, 0, 0
		}
		return compareNumbers(x, y), len(x), len(y)
	}
	x, y := word(a), word(b)
	if y == "" {
		return -1, 0, 0
	}
	return strings.Compare(x, y), len(x), len(y)
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// orderPacman orders EPOCH:VERSION-RELEASE as vercmp(8) does: releases count where both have one.
func orderPacman(a, b string) int {
	ea, a := cutEpoch(a)
	eb, b := cutEpoch(b)
	if c := compareNumbers(ea, eb); c != 0 {
		return c
	}
	va, ra, hasA := cutRelease(a)
	vb, rb, hasB := cutRelease(b)
	if c := alpmvercmp(va, vb); c != 0 || !hasA || !hasB {
		return c
	}
	return alpmvercmp(ra, rb)
}

// alpmvercmp is pacman's offspring of rpmvercmp: letters at the end come before nothing, so that 1.0rc1 < 1.0, a longer
// separator wins, and neither "~" nor "^" is special.
func alpmvercmp(a, b string) int {
	if a == b {
		return 0
	}
	for a != "" && b != "" {
		sa, sb := separators(a), separators(b)
		a, b = a[sa:], b[sb:]
		if a == "" || b == "" {
			break
		}
		if sa != sb {
			return sa - sb
		}
		c, na, nb := runs(a, b)
		if c != 0 {
			return c
		}
		a, b = a[na:], b[nb:]
	}
	switch {
	case a == "" && b == "":
		return 0
	case a == "" && !letter(b) || letter(a):
		return -1
	}
	return 1
}

func separators(s string) int {
	return strings.IndexFunc(s+"0", func(r rune) bool { return r < 0x80 && (digit(string(r)) || letter(string(r))) })
}
