package diskimage

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// recipe changes whenever the same spec gives other bytes than before.
const recipe = 2

// spec is everything that the bytes of a disk depend on, the versions of the programs left out.
type spec struct {
	Recipe int    `json:"recipe"`
	Image  string `json:"image"` // digest
	Arch   string `json:"arch"`
	Kernel string `json:"kernel,omitempty"` // digest of what is put in, where the image has none
	GRUB   string `json:"grub,omitempty"`   // digest of the loaders
	Options
}

// key names the file that the spec gives.
func (s spec) key() string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // no value of a spec has no JSON
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// sum is a digest of the disk inside, which is the same in every format, and of a purpose.
func (s spec) sum(purpose string) [32]byte {
	s.Format = Raw
	return sha256.Sum256([]byte(s.key() + " " + purpose))
}

// id derives a UUID (version 8, RFC 9562 section 5.8) for a purpose.
func (s spec) id(purpose string) string {
	b := s.sum(purpose)
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// volume is the FAT volume ID: 8 capital hex digits.
func (s spec) volume() string {
	b := s.sum("esp")
	return strings.ToUpper(hex.EncodeToString(b[:4]))
}

// label is the one by which GRUB finds its partition: 11 characters.
func (s spec) label() string { return "GR-" + s.volume() }
