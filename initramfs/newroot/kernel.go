package newroot

import (
	"fmt"
	"strings"

	"griddle/imagestore/content"
)

// CheckKernel refuses an image that could not boot afterwards.
func CheckKernel(ref string, m *content.Manifest) error {
	for _, e := range m.Entries {
		if e.Path == "vmlinuz" || strings.HasPrefix(e.Path, "boot/vmlinuz-") && e.Type == content.Regular {
			return nil
		}
	}
	return fmt.Errorf("%s has no kernel (boot/vmlinuz-*): install one in its template and publish it again", ref)
}
