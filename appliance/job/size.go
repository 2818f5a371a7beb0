package job

import (
	"math"
	"strconv"
	"strings"
)

// units are powers of 1024 without a B, as subiquity and systemd have them, and those of their full names.
var units = []struct {
	name  string
	bytes int64
}{
	{"B", 1}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"T", 1 << 40},
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
}

// ParseBytes reads a number of bytes with its unit: "20G" is 20 times 1024 MiB, "500GB" is 500 times 1000 MB.
func ParseBytes(text string) (int64, error) {
	i := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if i < 1 {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseInt(text[:i], 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != text[:i] {
		return 0, strconv.ErrSyntax
	}
	for _, u := range units {
		if u.name == text[i:] && n > 0 && n <= math.MaxInt64/2/u.bytes {
			return n * u.bytes, nil
		}
	}
	return 0, strconv.ErrSyntax
}

// ExactBytes writes a number of bytes above 0 as ParseBytes reads it, with the largest unit that divides it.
func ExactBytes(n int64) string {
	best, written := int64(0), ""
	for _, u := range units {
		if n%u.bytes == 0 && u.bytes > best {
			best, written = u.bytes, strconv.FormatInt(n/u.bytes, 10)+u.name
		}
	}
	return written
}
