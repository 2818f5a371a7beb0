package newroot

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"griddle/imagestore/content"
	"griddle/initramfs/kernel"
	"griddle/initramfs/volume"
)

// kernel adds the kernel of a kernel image.
func (m *making) kernel(ctx context.Context) error {
	if m.Kernel == "" {
		return nil
	}
	tree, err := os.OpenRoot(m.Kernel)
	if err != nil {
		return fmt.Errorf("opening the kernel image: %w", err)
	}
	defer tree.Close()
	_, err = kernel.Add(ctx, tree, m.Root)
	return err
}

// CheckInit refuses an image whose root could not prove itself: what does that is units of systemd.
func CheckInit(ref string, m *content.Manifest) error {
	if err := m.CheckSystemd(); err != nil {
		return fmt.Errorf("%s does not start with systemd: %w; without it no root can prove itself, and the machine "+
			"would go back to its old one; install systemd in its template (on Debian: systemd-sysv) and publish "+
			"it again", ref, err)
	}
	return nil
}

// CheckPrograms refuses an image without programs by which its system would start the volumes of the machine.
func CheckPrograms(ref string, m *content.Manifest, programs []string) error {
	packages := map[string]string{volume.Mdadm: "mdadm", volume.LVM: "lvm2"}
	for _, name := range programs {
		if !slices.ContainsFunc([]string{"usr/sbin/", "usr/bin/", "sbin/", "bin/"}, func(dir string) bool {
			e := m.Lookup(dir + name)
			return e != nil && e.Type == content.Regular
		}) {
			return fmt.Errorf("%s has no program %s, by which its system would start the volumes of this machine: "+
				"install it in its template (on Debian: package %s) and publish it again", ref, name, packages[name])
		}
	}
	return nil
}

// CheckKernel refuses an image that could not boot afterwards.
func CheckKernel(ref string, m *content.Manifest) error {
	for _, e := range m.Entries {
		if e.Path == "vmlinuz" || strings.HasPrefix(e.Path, "boot/vmlinuz-") && e.Type == content.Regular {
			return nil
		}
	}
	return fmt.Errorf("%s has no kernel (boot/vmlinuz-*): install one in its template and publish it again", ref)
}
