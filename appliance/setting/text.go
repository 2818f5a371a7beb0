package setting

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes. In a document it is a number, or text with a unit of 1024: "512M", "4G", "1T".
type Size int64

// UnmarshalJSON reads a Size.
func (s *Size) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) != nil {
		text = string(b)
	}
	n, err := ParseSize(text)
	*s = n
	return err
}

// ParseSize reads a size such as "4G". "4GiB" is the same.
func ParseSize(text string) (Size, error) {
	number := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSpace(text), "iB"), "B")
	shift := 0
	if i := len(number) - 1; i >= 0 {
		if unit := strings.IndexByte("KMGT", number[i]); unit >= 0 {
			shift, number = 10*(unit+1), strings.TrimSpace(number[:i])
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%s is not a size such as 4G or 512M", quote(text))
	}
	return Size(n << shift), nil
}

// Duration is a time such as "30m" or "1h30m" in a document.
type Duration time.Duration

// MarshalText writes a Duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads a Duration.
func (d *Duration) UnmarshalText(b []byte) error {
	t, err := time.ParseDuration(string(b))
	if err != nil || t < 0 {
		return fmt.Errorf("%s is not a time such as 30m or 1h", quote(string(b)))
	}
	*d = Duration(t)
	return nil
}

// Mode is the permissions of a file; in a document it is text of octal digits, "0640".
type Mode uint32

// MarshalText writes a Mode.
func (m Mode) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%04o", uint32(m)), nil }

// UnmarshalText reads a Mode of three or four octal digits.
func (m *Mode) UnmarshalText(b []byte) error {
	n, err := strconv.ParseUint(string(b), 8, 12)
	if err != nil || len(b) < 3 || len(b) > 4 {
		return fmt.Errorf("%s is not a mode such as \"0644\": three or four octal digits in quotes", quote(string(b)))
	}
	*m = Mode(n)
	return nil
}

// quote shows a value of a document in an error: on one line, and not too long.
func quote(s string) string {
	if len(s) > 60 {
		return strconv.QuoteToASCII(s[:60]) + "..."
	}
	return strconv.QuoteToASCII(s)
}

func list(all []string) string {
	if len(all) < 2 {
		return strings.Join(all, "")
	}
	return strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
}

// ErrInvalid is wrapped by every error about what a document says.
var ErrInvalid = errors.New("invalid settings")
