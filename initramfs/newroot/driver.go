package newroot

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"griddle/imagestore/content"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/initrd"
)

// An initrd by the names that GRUB looks for; /initrd.img is a link to one of them, or a file.
var initrdFile = regexp.MustCompile(`^(initrd\.img|boot/(initrd\.img|initrd|initramfs)-.*)$`)

// CheckInitrd refuses an image with a manifest that has no initrd: the kernel alone does not find a partition by the
// UUID of its filesystem, as a root that is a partition is given. Whether the initrd has the driver of the filesystem
// is not known before it is received, and Make looks at that.
func CheckInitrd(ref string, m *content.Manifest) error {
	for _, e := range m.Entries {
		if initrdFile.MatchString(e.Path) && e.Type != content.Directory {
			return nil
		}
	}
	return fmt.Errorf("%s cannot start from a partition of its own: it has no initrd (boot/initrd.img-*, "+
		"boot/initramfs-*.img); have one made in its template, and publish it again", ref)
}

// driver refuses a root that is a partition, and whose kernel could not mount it: neither the kernel itself nor the
// initrd has the driver. An initrd that cannot be read passes: what is not known is left to the trial of the root.
func (m *making) driver() error {
	if m.Own == nil {
		return nil
	}
	k, err := bootloader.FindKernel(m.Root)
	if err != nil || k.Initrd == "" {
		return nil
	}
	release := m.release(k.Path)
	builtin := m.builtin(release)
	file := "/kernel/fs/" + m.Own.Filesystem + "/" + m.Own.Filesystem + ".ko"
	if builtin == nil || strings.Contains(string(builtin), file[1:]) {
		return nil
	}
	f, err := m.Open(k.Initrd)
	if err != nil {
		return err
	}
	defer f.Close()
	found := false
	err = initrd.Files(f, func(name string) bool {
		dir, base, _ := strings.Cut(name, file)
		found = path.Base(dir) == release && (base == "" || base[0] == '.') && dir != name
		return !found
	})
	switch {
	case found, errors.Is(err, initrd.ErrUnknown):
		return nil
	case err != nil:
		return fmt.Errorf("reading %s of %s: %w", k.Initrd, m.Ref, err)
	}
	return fmt.Errorf("%s cannot start from a partition with %s: %s has no driver of it (module %s), and neither has "+
		"the kernel %s itself; in the template have it in the initrd (initramfs-tools: MODULES=most; dracut: "+
		"add_drivers+=\" %s \"), make that again, and publish it again", m.Ref, m.Own.Filesystem, k.Initrd,
		m.Own.Filesystem, release, m.Own.Filesystem)
}

// release is that of a kernel: its name says it, or that of the file that it is a link to.
func (m *making) release(kernel string) string {
	for range 8 {
		if _, release, ok := strings.Cut(path.Base(kernel), "vmlinuz-"); ok {
			return release
		}
		to, err := m.Readlink(kernel)
		if err != nil {
			return ""
		}
		kernel = to
	}
	return ""
}

// builtin is the list of the modules that are in a kernel itself (kbuild: modules.builtin); nil if it is not known.
func (m *making) builtin(release string) []byte {
	for _, dir := range []string{"usr/lib/modules", "lib/modules"} {
		if b, err := m.Read(path.Join(dir, release, "modules.builtin")); release != "" && err == nil && b != nil {
			return b
		}
	}
	return nil
}
