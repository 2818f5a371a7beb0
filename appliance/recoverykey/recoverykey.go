// Package recoverykey is the text of a key that opens the encrypted partitions of a machine where nothing else does.
//
// Call New for another key, and Parse for one that comes from outside. A key is 256 random bits, as systemd-cryptenroll
// makes them, so that systemd-cryptsetup knows one and cryptsetup takes it as a passphrase:
//
//	clhjgdnr-vbnihdcu-…   8 groups of 8 letters, 71 bytes; each letter is 4 bits, the higher ones first
//	cbdefghijklnrtuv      the letters for 0 to 15 (modhex): they are in the same place on most keyboards
//
// The package is pure but for the random bits, which are those of the operating system.
//
// Source: systemd's src/shared/recovery-key.c, versions 252 to 257.
package recoverykey

import (
	"crypto/rand"
	"errors"
	"strings"
)

// Size is how long a key is as a text, in bytes.
const Size = 2*bits/8 + 2*bits/8/group - 1

const (
	bits    = 256
	group   = 8 // letters
	letters = "cbdefghijklnrtuv"
)

// ErrForm is the error for a text that is not a key. It does not have the text, which may be one but for a letter.
var ErrForm = errors.New("this is not a recovery key, which is 8 groups of 8 of the letters " + letters +
	" with hyphens between")

// New is another key.
func New() string {
	secret := make([]byte, bits/8)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	return text(secret)
}

// text is the key with these bits.
func text(secret []byte) string {
	var out strings.Builder
	for i, b := range secret {
		if i > 0 && i%(group/2) == 0 {
			out.WriteByte('-')
		}
		out.WriteByte(letters[b>>4])
		out.WriteByte(letters[b&15])
	}
	return out.String()
}

// Parse is a key as New writes it. It takes what systemd takes: hyphens may be left out, and letters may be capitals.
// Any other text is ErrForm.
func Parse(s string) (string, error) {
	secret := make([]byte, 0, bits/8)
	var high, n int
	for i := range len(s) {
		c := s[i]
		if c == '-' && n > 0 && n%group == 0 && s[i-1] != '-' {
			continue
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		four := strings.IndexByte(letters, c)
		if four < 0 || n == 2*bits/8 {
			return "", ErrForm
		}
		if n++; n%2 == 1 {
			high = four
		} else {
			secret = append(secret, byte(high<<4|four))
		}
	}
	if n != 2*bits/8 || s[len(s)-1] == '-' {
		return "", ErrForm
	}
	return text(secret), nil
}
