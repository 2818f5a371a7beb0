package layout

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is how large something is to be: bytes, a share of its disk, or all that is left. At most one of the three is
// set; the zero value means that none is given.
type Size struct {
	Bytes   int64
	Percent int // of the disk, 1 to 100
	Rest    bool
}

// IsZero reports whether it is the zero value.
func (s Size) IsZero() bool { return s == Size{} }

// units are powers of 1024 without a B, as subiquity and systemd have them, and those of their full names.
var units = []struct {
	name  string
	bytes int64
}{
	{"B", 1}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"T", 1 << 40},
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
}

// ParseSize reads a size such as "20G", "500GB", "25%" or "rest".
func ParseSize(text string) (Size, error) {
	if text == "rest" {
		return Size{Rest: true}, nil
	}
	if digits, ok := strings.CutSuffix(text, "%"); ok {
		if n, err := number(digits); err == nil && n >= 1 && n <= 100 {
			return Size{Percent: int(n)}, nil
		}
		return Size{}, fmt.Errorf("%q is not a share from 1%% to 100%%", text)
	}
	n, err := parseBytes(text)
	if err != nil {
		return Size{}, fmt.Errorf("%q is not a size: write 20G (of 1024 MiB), 500GB (of 1000 MB), 25%% or rest", text)
	}
	return Size{Bytes: n}, nil
}

// parseBytes reads a number of bytes with its unit.
func parseBytes(text string) (int64, error) {
	i := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if i < 1 {
		return 0, strconv.ErrSyntax
	}
	n, err := number(text[:i])
	if err != nil {
		return 0, err
	}
	for _, u := range units {
		if u.name == text[i:] && n > 0 && n <= math.MaxInt64/2/u.bytes {
			return n * u.bytes, nil
		}
	}
	return 0, strconv.ErrSyntax
}

// number reads a number as String writes it.
func number(digits string) (int64, error) {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err == nil && strconv.FormatInt(n, 10) != digits {
		err = strconv.ErrSyntax
	}
	return n, err
}

// String writes the size as ParseSize reads it.
func (s Size) String() string {
	switch {
	case s.Rest:
		return "rest"
	case s.Percent > 0:
		return fmt.Sprintf("%d%%", s.Percent)
	case s.Bytes > 0:
		best, written := int64(0), ""
		for _, u := range units {
			if s.Bytes%u.bytes == 0 && u.bytes > best {
				best, written = u.bytes, fmt.Sprintf("%d%s", s.Bytes/u.bytes, u.name)
			}
		}
		return written
	}
	return ""
}

// MarshalText writes the size as ParseSize reads it.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is ParseSize.
func (s *Size) UnmarshalText(b []byte) (err error) {
	*s, err = ParseSize(string(b))
	return err
}
