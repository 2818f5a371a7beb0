package layout

import (
	"fmt"
	"strconv"
	"strings"

	"griddle/appliance/job"
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

// ParseSize reads a size such as "20G", "500GB", "25%" or "rest".
func ParseSize(text string) (Size, error) {
	if text == "rest" {
		return Size{Rest: true}, nil
	}
	if digits, ok := strings.CutSuffix(text, "%"); ok {
		if n, err := strconv.Atoi(digits); err == nil && n >= 1 && n <= 100 && strconv.Itoa(n) == digits {
			return Size{Percent: n}, nil
		}
		return Size{}, fmt.Errorf("%q is not a share from 1%% to 100%%", text)
	}
	n, err := job.ParseBytes(text)
	if err != nil {
		return Size{}, fmt.Errorf("%q is not a size: write 20G (of 1024 MiB), 500GB (of 1000 MB), 25%% or rest", text)
	}
	return Size{Bytes: n}, nil
}

// String writes the size as ParseSize reads it.
func (s Size) String() string {
	switch {
	case s.Rest:
		return "rest"
	case s.Percent > 0:
		return fmt.Sprintf("%d%%", s.Percent)
	case s.Bytes > 0:
		return job.ExactBytes(s.Bytes)
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
