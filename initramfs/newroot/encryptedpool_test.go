package newroot

import (
	"errors"
	"os"
	"strings"
	"testing"

	"griddle/imagestore/content"
	"griddle/initramfs/sysroot"
)

// TestCheckEncryptedPool has the trees of some distributions.
func TestCheckEncryptedPool(t *testing.T) {
	initramfs := []string{"usr/share/initramfs-tools/hooks/cryptroot", "sbin/cryptsetup"}
	dracut := []string{"usr/lib/dracut/modules.d/90crypt/module-setup.sh", "usr/sbin/cryptsetup",
		"usr/lib/dracut/modules.d/91tpm2-tss/module-setup.sh"} // of Debian 12
	systemd := append([]string{"usr/lib/systemd/systemd-cryptsetup"}, dracut...)
	tss := append([]string{"usr/lib64/libtss2-esys.so.0", "usr/lib64/libtss2-mu.so.0.0.1", "usr/lib64/libtss2-rc.so.0",
		"usr/lib64/libtss2-tcti-device.so.0"}, systemd...)
	newer := []string{"usr/lib/dracut/modules.d/70crypt/module-setup.sh", "usr/bin/cryptsetup"} // of dracut 107
	for _, c := range []struct {
		name                string
		paths               []string
		passphrase, withTPM string // what is in the way; "" for nothing
	}{
		{"nothing", []string{"boot/vmlinuz-1", "usr/share/doc/cryptsetup"}, "nothing in it makes", "nothing in"},
		{"a hook alone", initramfs[:1], "nothing in it makes an initrd", "nothing in it makes an initrd"},
		{"cryptsetup alone", initramfs[1:], "nothing in it makes an initrd", "nothing in it makes an initrd"},
		{"cryptsetup-initramfs", initramfs, "", "needs dracut with its module tpm2-tss"},
		{"dracut", dracut, "", "and systemd-cryptsetup"},
		{"a newer dracut", newer, "", "needs dracut with its module tpm2-tss"},
		{"dracut without libraries", systemd, "", "it has no libtss2-esys.so; add tpm2-tss"},
		{"dracut with all", tss, "", ""},
		{"both", append(initramfs, tss...), "", ""},
		{"another module", []string{"usr/lib/dracut/modules.d/91crypt-gpg/module-setup.sh", "sbin/cryptsetup"},
			"nothing in it makes an initrd", "nothing in it makes an initrd"},
	} {
		m := &content.Manifest{}
		for _, p := range c.paths {
			m.Entries = append(m.Entries, content.Entry{Path: p, Type: content.Regular})
		}
		for tpm, want := range map[bool]string{false: c.passphrase, true: c.withTPM} {
			err := CheckEncryptedPool("web:1", m, tpm)
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s, TPM %v: %v, want %q", c.name, tpm, err, want)
			}
		}
	}
}

// Only a root on an encrypted pool has the hooks that copy its kernels, also if its image has some.
func TestCopiesKernels(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	const hook = "etc/kernel/postinst.d/zz-griddle"
	m := &making{Options: Options{Copied: true}, Dir: sysroot.Dir{Root: root}}
	if err := m.copiesKernels(); err == nil || !strings.Contains(err.Error(), "needs Griddle's agent") || m.Has(hook) {
		t.Errorf("without an agent: %v", err)
	}
	if err := errors.Join(m.Write(AgentFile[1:], nil, 0o755), m.copiesKernels()); err != nil || !m.HasFile(hook) {
		t.Errorf("on an encrypted pool: %v", err)
	}
	m.Copied = false
	if err := m.copiesKernels(); err != nil || m.Has(hook) {
		t.Errorf("on another pool: %v", err)
	}
}
