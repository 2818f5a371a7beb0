package bootloader

import (
	"errors"
	"fmt"
	"strings"
)

// Boot is what GRUB and the initrd need of an encrypted pool. GRUB cannot open the pool (its passphrase is slowed down
// by Argon2id, which GRUB 2.06 and 2.12 do not know), so all that GRUB reads of a root is copied into a partition that
// is not encrypted:
//
//	/NAME/N/vmlinuz, /NAME/N/initrd.img            the kernel that FindKernel finds in @roots/NAME
//	/NAME/N/.griddle-good, /NAME/N/.griddle-base   Marker and BaseMarker, if the root has them
//	/NAME/N/usr/lib/griddle/kernel-arguments       arguments.File, if the root has it
//
// N is a number, and the largest one that has a kernel with an initrd counts: package bootcopy writes a new one whole
// before it removes the last one, and the name of its kernel comes last. The menu has one kernel of each root then.
//
// The initrd opens the volume by the arguments that Config gives each kernel: rd.luks.* are those of dracut and of
// systemd (dracut.cmdline(7), systemd-cryptsetup-generator(8)), and cryptopts is that of Debian's cryptsetup-initramfs
// 2.6.1 (README.initramfs section 7). So no initrd is made for one machine. The name of the opened volume is that of
// package luks.
type Boot struct {
	ID     string // UUID of the filesystem with the copies, lower case with dashes
	Volume string // UUID of the LUKS2 volume that has the pool, the same
	TPM    bool   // the TPM opens it too
}

// bootLine begins the line at the top of a grub.cfg with Boot.
const bootLine = "# The pool is encrypted. Kernels, volume and what opens it: "

// tpmWord is in that line where the TPM opens the volume.
const tpmWord = "tpm2"

func (b Boot) line() string {
	by := ""
	if b.TPM {
		by = " " + tpmWord
	}
	return fmt.Sprintf("%s%s %s passphrase%s.", bootLine, b.ID, b.Volume, by)
}

// parseBoot undoes line. ok is false for all other lines.
func parseBoot(line string) (b Boot, ok bool) {
	rest, ok := strings.CutPrefix(line, bootLine)
	words := strings.Fields(strings.TrimSuffix(rest, "."))
	if !ok || len(words) < 2 {
		return Boot{}, false
	}
	for _, w := range words[2:] {
		b.TPM = b.TPM || w == tpmWord
	}
	b.ID, b.Volume = words[0], words[1]
	return b, true
}

// arguments are those by which the initrd opens the pool.
func (b Boot) arguments() []string {
	out := []string{"rd.luks.uuid=" + b.Volume, "cryptopts=target=luks-" + b.Volume + ",source=UUID=" + b.Volume +
		",luks"}
	if b.TPM {
		out = append(out, "rd.luks.options="+b.Volume+"=tpm2-device=auto")
	}
	return out
}

// checkBoot finds what is wrong with Boot.
func (c Config) checkBoot() error {
	switch b := c.Boot; {
	case b == nil:
		return nil
	case c.Flat || len(c.Own) > 0 || c.Mirror != nil:
		return errors.New("only a pool on one disk is encrypted")
	case !isUUID(b.ID) || !isUUID(b.Volume) || b.ID == c.PoolID || b.Volume == c.PoolID || b.ID == b.Volume:
		return fmt.Errorf("the UUIDs %q of the partition for kernels, %q of the encrypted volume and %q of the pool "+
			"are not three that are valid", b.ID, b.Volume, c.PoolID)
	}
	return nil
}

// searched is the UUID of the filesystem in which GRUB finds the kernels.
func (c Config) searched() string {
	if c.Boot != nil {
		return c.Boot.ID
	}
	return c.PoolID
}
