package appliance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"griddle/appliance/config"
)

// bootDir finds the directory of the boot files, and checks that the kernel and the initramfs are in it.
func bootDir(c config.Config) (string, error) {
	dirs := []string{c.BootDir}
	if c.BootDir == "" {
		dirs = []string{"build/boot", "/usr/lib/griddle/boot"}
	}
	for _, dir := range dirs {
		ok := true
		for _, name := range []string{"vmlinuz", "initramfs"} {
			if st, err := os.Stat(filepath.Join(dir, name)); err != nil || !st.Mode().IsRegular() {
				ok = false
			}
		}
		if ok {
			return filepath.Abs(dir)
		}
	}
	return "", Advice{fmt.Errorf("finding the boot files: no vmlinuz and initramfs in %s",
		strings.Join(dirs, " nor in ")),
		"Make them with `make boot`, or name their directory with --boot-dir."}
}
