package layout

import (
	"slices"
	"strings"
)

// LUKS says that a partition is encrypted, in the format LUKS2, and by what it is opened. No secret is in a layout: the
// passphrase is one of the machine's settings, and the recovery key is made and kept by the server.
type LUKS struct {
	Unlock []string `json:"unlock"` // Passphrase…
}

// The values of LUKS.Unlock.
const (
	Passphrase = "passphrase" // that of the settings; the system asks for it at each start, where nothing else opens it
	TPM2       = "tpm2"       // the TPM of the machine gives the key while PCR 7, the state of Secure Boot, is the same
	Recovery   = "recovery"   // a key that the server makes for the machine, and shows to operators
)

// Encrypted is what a partition holds to programs that have no key.
const Encrypted = "crypto_LUKS"

// Outside is what a partition holds whose filesystem is made, to programs that have no key: the filesystem, or
// Encrypted.
func (p Partition) Outside() string {
	if p.LUKS != nil {
		return Encrypted
	}
	return p.Made().Filesystem
}

// Encrypts says whether the document has partitions that are encrypted.
func (d Document) Encrypts() bool {
	return slices.ContainsFunc(d.Disks, func(disk Disk) bool {
		return slices.ContainsFunc(disk.Partitions, func(p Partition) bool { return p.LUKS != nil })
	})
}

// Recovers says whether the document has partitions that a recovery key opens.
func (d Document) Recovers() bool {
	return slices.ContainsFunc(d.Disks, func(disk Disk) bool {
		return slices.ContainsFunc(disk.Partitions, func(p Partition) bool {
			return p.LUKS != nil && slices.Contains(p.LUKS.Unlock, Recovery)
		})
	})
}

// luks checks how a partition is encrypted.
func (c *checker) luks(at string, p Partition) {
	switch {
	case p.LUKS == nil:
		return
	case p.Use != Pool && p.Use != Data && p.Use != Home && p.Use != Swap:
		c.wrong(at, "leave it out", "only partitions with use: pool, data, home or swap are encrypted")
		return
	case len(p.LUKS.Unlock) == 0:
		c.wrong(at+".unlock", "write unlock: [passphrase], [recovery, tpm2] or so", "it does not say what opens the "+
			"partition")
		return
	}
	for i, by := range p.LUKS.Unlock {
		switch {
		case by != Passphrase && by != Recovery && by != TPM2:
			c.wrong(at+".unlock", "", "%q is not passphrase, recovery or tpm2", short(by))
		case slices.Contains(p.LUKS.Unlock[:i], by):
			c.wrong(at+".unlock", "", "%s is in the list twice", by)
		}
	}
	if !slices.Contains(p.LUKS.Unlock, Passphrase) && !slices.Contains(p.LUKS.Unlock, Recovery) {
		c.wrong(at+".unlock", "add passphrase or recovery", "without a passphrase or a recovery key, everything is "+
			"lost when the TPM or the board is")
	}
}

// opened says by what a partition is opened, for people; "" for one that is not encrypted.
func (p Partition) opened() string {
	if p.LUKS == nil {
		return ""
	}
	return "encrypted, opened by " + strings.Join(p.LUKS.Unlock, " or ")
}
