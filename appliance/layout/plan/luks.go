package plan

import (
	"slices"
	"strings"

	"griddle/appliance/layout"
)

// header is how much of an encrypted partition is not its filesystem's: the usual LUKS2 header (cryptsetup's
// lib/luks2/luks2.h, LUKS2_DEFAULT_HDR_SIZE), in bytes.
const header = 16 * mib

// unlock is by what a partition is opened, as Part.Unlock has it.
func unlock(l layout.LUKS) string { return strings.Join(l.Unlock, " ") }

// encrypt adds the step that encrypts a partition before makes, the step that makes its filesystem, which it returns as
// one within.
func (w *writer) encrypt(p part, makes Step) Step {
	s := makes
	s.Do, s.Filesystem, s.Unlock = Encrypt, layout.Encrypted, unlock(*p.entry.LUKS)
	w.writes = append(w.writes, s)
	makes.If.Filesystem, makes.If.Cleared, makes.Unlock = layout.Encrypted, false, s.Unlock
	return makes
}

// Encrypts says whether the plan has partitions that are encrypted.
func (p Plan) Encrypts() bool { return p.parts(func(part Part) bool { return part.Unlock != "" }) }

// Unlocks says whether the plan has partitions that are opened by something, such as layout.TPM2.
func (p Plan) Unlocks(by string) bool {
	return p.parts(func(part Part) bool { return part.UnlockedBy(by) })
}

// UnlockedBy says whether a partition is encrypted and opened by something, such as layout.TPM2.
func (p Part) UnlockedBy(by string) bool { return slices.Contains(strings.Fields(p.Unlock), by) }

// parts says whether one of the partitions of tomorrow is so.
func (p Plan) parts(is func(Part) bool) bool {
	return slices.ContainsFunc(p.Disks, func(d Disk) bool { return slices.ContainsFunc(d.After, is) })
}
