package newroot

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"griddle/imagestore/content"
	"griddle/initramfs/pool/kernels/unit"
)

// copiesKernels has the root copy its kernels after an upgrade, or takes away what does that: an image may be made of a
// system on an encrypted pool.
func (m *making) copiesKernels() error {
	if !m.Copied {
		return unit.Remove(m.Dir)
	}
	if !m.HasFile(strings.TrimPrefix(AgentFile, "/")) {
		return errors.New("a system on an encrypted pool needs Griddle's agent, which copies its kernels after an " +
			"upgrade, and this root gets none")
	}
	return unit.Install(m.Dir)
}

// The modules of dracut that open a volume: their folders begin with two digits, which change between versions.
var dracutCrypt = regexp.MustCompile(`^usr/lib/dracut/modules\.d/[0-9][0-9]crypt/module-setup\.sh$`)
var dracutTPM = regexp.MustCompile(`^usr/lib/dracut/modules\.d/[0-9][0-9]tpm2-tss/module-setup\.sh$`)

// CheckEncryptedPool refuses an image with a manifest whose initrd could not open an encrypted pool: one that is made
// by dracut, or for a passphrase alone by cryptsetup-initramfs. tpm says that the TPM opens the pool. What is in the
// initrd itself is not known before the image is received: an image without the programs could not have made it.
func CheckEncryptedPool(ref string, m *content.Manifest, tpm bool) error {
	var opens, dracut, tss, initramfs, systemd bool
	libs := map[string]bool{}
	for _, e := range m.Entries {
		dracut = dracut || dracutCrypt.MatchString(e.Path)
		tss = tss || dracutTPM.MatchString(e.Path)
		initramfs = initramfs || e.Path == "usr/share/initramfs-tools/hooks/cryptroot"
		systemd = systemd || strings.HasSuffix(e.Path, "lib/systemd/systemd-cryptsetup")
		opens = opens || path.Base(e.Path) == "cryptsetup" && strings.HasSuffix(path.Dir(e.Path), "bin")
		for _, lib := range tpmLibraries {
			libs[lib] = libs[lib] || strings.HasPrefix(path.Base(e.Path), lib)
		}
	}
	const again = " to the template, have it make its initrd again, and publish it again"
	switch {
	case !dracut && !initramfs || !opens && !systemd:
		return fmt.Errorf("%s cannot start from an encrypted pool: nothing in it makes an initrd that opens one; add "+
			"dracut and cryptsetup, or on Debian cryptsetup-initramfs,"+again, ref)
	case !tpm:
		return nil
	case !dracut || !tss || !systemd:
		return fmt.Errorf("%s cannot start from a pool that the TPM opens: that needs dracut with its module "+
			"tpm2-tss, and systemd-cryptsetup; add them"+again, ref)
	}
	for _, lib := range tpmLibraries {
		if !libs[lib] {
			return fmt.Errorf("%s cannot start from a pool that the TPM opens: it has no %s; add tpm2-tss"+again, ref,
				strings.TrimSuffix(lib, "."))
		}
	}
	return nil
}
