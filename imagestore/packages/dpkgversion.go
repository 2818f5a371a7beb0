package packages

// CompareDpkg orders two versions as dpkg does (deb-version(7)): the epoch first, runs of digits by value, letters
// before all else, and "~" before even the end of a part, so that 1.0~rc1 < 1.0 < 1.0a < 1.0+1 and 2 < 10. It returns a
// number below, equal to or above zero.
func CompareDpkg(a, b string) int { return orderParts(a, b, dpkgPart) }

// dpkgWeight is dpkg's order of a byte outside digits; the end of the string, and a digit, weigh 0.
func dpkgWeight(s string) int {
	switch {
	case s == "" || digit(s):
		return 0
	case s[0] == '~':
		return -1
	case letter(s):
		return int(s[0])
	}
	return int(s[0]) + 256
}

func dpkgPart(a, b string) int {
	for a != "" || b != "" {
		for a != "" && !digit(a) || b != "" && !digit(b) {
			if c := dpkgWeight(a) - dpkgWeight(b); c != 0 {
				return c
			}
			// Equal weights mean that both have the same byte here, or that one is at its end and the other too.
			a, b = tail(a), tail(b)
		}
		na, nb := number(a), number(b)
		a, b = a[len(na):], b[len(nb):]
		if c := compareNumbers(na, nb); c != 0 {
			return c
		}
	}
	return 0
}
