package luks

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
)

// Ready says why no volume can be made and opened on this machine now, nil if it can. It loads the kernel's module.
func Ready(ctx context.Context) error {
	if _, err := exec.LookPath(Program); err != nil {
		return fmt.Errorf("the program %s is missing", Program)
	}
	if _, err := os.Stat("/sys/module/dm_crypt"); err == nil {
		return nil
	}
	if out, err := exec.CommandContext(ctx, "modprobe", "dm-crypt").CombinedOutput(); err != nil {
		return fmt.Errorf("the kernel cannot encrypt disks: running modprobe dm-crypt: %w: %s", err,
			bytes.TrimSpace(out))
	}
	return nil
}
