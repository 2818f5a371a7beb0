package setting

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// How long a passphrase of disks is. cryptsetup takes no longer one from a keyboard (crypt_get_key, 512).
const (
	MinPassphrase = 8   // characters
	MaxPassphrase = 511 // bytes
)

// passphrase checks what people type when the machine starts: no character that a keyboard does not have.
func (c *checker) passphrase(s string) {
	switch {
	case s == "":
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		c.wrong("disks.passphrase", "it has characters that no one can type, such as a line end")
	case utf8.RuneCountInString(s) < MinPassphrase || len(s) > MaxPassphrase:
		c.wrong("disks.passphrase", "it is not %d characters to %d bytes long", MinPassphrase, MaxPassphrase)
	}
}
