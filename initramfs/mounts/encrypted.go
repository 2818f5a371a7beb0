package mounts

import (
	"fmt"

	"griddle/initramfs/luks"
)

// Encrypted are those of the filesystems that are encrypted.
func Encrypted(all []Mount) (out []Mount) {
	for _, m := range all {
		if m.Volume != "" {
			out = append(out, m)
		}
	}
	return out
}

// Volumes are the lines of /etc/crypttab by which a system opens what is encrypted. It asks for the passphrase where
// the TPM does not open it. A system starts without a volume whose disk is missing.
func Volumes(all []Mount) (out []string) {
	for _, m := range Encrypted(all) {
		by := ""
		if m.TPM {
			by = "tpm2-device=auto,"
		}
		out = append(out, fmt.Sprintf("%s UUID=%s none luks,%snofail,x-systemd.device-timeout=90s", luks.Name(m.Volume),
			m.Volume, by))
	}
	return out
}

// encryptedLine is the line of /etc/fstab. The start waits for the person who types the passphrase, before anyone can
// log in without their /home; it continues without the filesystem if the volume is not opened.
func (m Mount) encryptedLine() string {
	const waits = "nofail,x-systemd.device-timeout=0"
	if m.Filesystem == Swap {
		return fmt.Sprintf("%s none swap %s 0 0", luks.Node(m.Volume), waits)
	}
	check := 2
	if m.Filesystem == "xfs" || m.Filesystem == "btrfs" {
		check = 0
	}
	return fmt.Sprintf("%s %s %s noatime,%s,x-systemd.before=local-fs.target 0 %d", luks.Node(m.Volume), m.Path,
		m.Filesystem, waits, check)
}
