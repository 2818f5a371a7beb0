package newroot

import (
	"context"
	"fmt"
	"os"
	"strings"

	"griddle/imagestore/content"
	"griddle/initramfs/kernel"
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

// CheckKernel refuses an image that could not boot afterwards.
func CheckKernel(ref string, m *content.Manifest) error {
	for _, e := range m.Entries {
		if e.Path == "vmlinuz" || strings.HasPrefix(e.Path, "boot/vmlinuz-") && e.Type == content.Regular {
			return nil
		}
	}
	return fmt.Errorf("%s has no kernel (boot/vmlinuz-*): install one in its template and publish it again", ref)
}
