package plan

import (
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

// Unlocks says whether the plan has partitions that are opened by something, such as layout.TPM2.
func (p Plan) Unlocks(by string) bool {
	for _, d := range p.Disks {
		for _, part := range d.After {
			for _, u := range strings.Fields(part.Unlock) {
				if u == by {
					return true
				}
			}
		}
	}
	return false
}
