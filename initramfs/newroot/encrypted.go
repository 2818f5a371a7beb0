package newroot

import (
	"fmt"
	"path"
	"strings"

	"griddle/imagestore/content"
	"griddle/initramfs/mounts"
)

// crypttab writes /etc/crypttab. Of the image's own lines those stay that name no block device: such volumes are of the
// computer that it was made on.
func (m *making) crypttab() error {
	const file = "etc/crypttab"
	old, err := m.Read(file)
	volumes := mounts.Volumes(m.beside)
	if err != nil || old == nil && len(volumes) == 0 {
		return err
	}
	lines := append([]string{"# Written by Griddle when this system was installed."}, volumes...)
	for line := range strings.Lines(string(old)) {
		f := strings.Fields(line)
		if len(f) < 2 || strings.HasPrefix(f[0], "#") || strings.HasPrefix(f[1], "/dev/") ||
			strings.Contains(f[1], "=") {
			continue
		}
		lines = append(lines, strings.Join(f, " "))
	}
	return m.Write(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

// tpmLibraries begin the names of what systemd loads for a TPM.
var tpmLibraries = []string{"libtss2-esys.so.", "libtss2-mu.so.", "libtss2-rc.so.", "libtss2-tcti-device.so."}

// CheckEncrypted refuses an image with a manifest whose systems could not open what a machine mounts: they open it by
// systemd, with the libraries of the TPM where that gives the key.
func CheckEncrypted(ref string, m *content.Manifest, all []mounts.Mount) error {
	encrypted, tpm := mounts.Encrypted(all), false
	if len(encrypted) == 0 {
		return nil
	}
	for _, e := range encrypted {
		tpm = tpm || e.TPM
	}
	has := func(is func(p string) bool) bool {
		for _, e := range m.Entries {
			if is(e.Path) {
				return true
			}
		}
		return false
	}
	if !has(func(p string) bool { return strings.HasSuffix(p, "lib/systemd/systemd-cryptsetup") }) {
		return fmt.Errorf("%s cannot open encrypted partitions: it has no systemd-cryptsetup; add the package "+
			"systemd-cryptsetup (Debian 13, Fedora) or systemd (Debian 12) to the template, and publish it again", ref)
	}
	for _, lib := range tpmLibraries {
		if tpm && !has(func(p string) bool { return strings.HasPrefix(path.Base(p), lib) }) {
			return fmt.Errorf("%s cannot open encrypted partitions by the TPM: it has no %s; add tpm2-tss (Debian 12: "+
				"libtss2-esys-3.0.2-0, libtss2-rc0 and libtss2-tcti-device0) to the template and publish it again, or "+
				"leave out tpm2", ref, strings.TrimSuffix(lib, "."))
		}
	}
	return nil
}
