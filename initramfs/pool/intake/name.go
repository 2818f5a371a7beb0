package intake

import (
	"fmt"
	"strconv"
	"strings"
)

// Name makes an image's name fit for a folder and for a kernel command line.
func Name(ref string) string {
	s := strings.Map(func(r rune) rune {
		switch {
		case r == ':':
			return '-'
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("._+~-@", r):
			return r
		}
		return '_'
	}, ref)
	if s == "" || strings.ContainsRune(".-@", rune(s[0])) {
		s = "image" + s
	}
	return s[:min(len(s), 200)]
}

// Named says whether an image with a reference may have the folder name in a pool: Name, or Name and a number where
// that was taken.
func Named(folder, ref string) bool {
	name := Name(ref)
	rest, ok := strings.CutPrefix(folder, name+".")
	n, err := strconv.Atoi(rest)
	return folder == name || ok && err == nil && n > 1 && folder == numbered(name, n)
}

// numbered is the n-th name that an image may have.
func numbered(name string, n int) string {
	if n == 1 {
		return name
	}
	return fmt.Sprintf("%s.%d", name, n)
}
