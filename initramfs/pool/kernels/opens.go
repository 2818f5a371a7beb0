package kernels

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// listers are programs that list what an initrd has: of initramfs-tools, and of dracut. Each reads those of both.
var listers = []string{"lsinitramfs", "lsinitrd"}

// listTime is how long one may take.
const listTime = 5 * time.Minute

// opens says whether an initrd of this system has a program that opens an encrypted pool. A system without a program
// that lists initrds is believed.
func opens(initrd string) error {
	ctx, stop := context.WithTimeout(context.Background(), listTime)
	defer stop()
	for _, name := range listers {
		program, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		cmd := exec.CommandContext(ctx, program, "/"+initrd)
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			return fmt.Errorf("looking into the initrd /%s: %w", initrd, err)
		}
		found, err := hasCryptsetup(out)
		// lsinitramfs fails behind an archive that is not compressed.
		if err = errors.Join(err, cmd.Wait()); err != nil && !found {
			return fmt.Errorf("looking into the initrd /%s: %s: %w", initrd, name, err)
		}
		if !found {
			return fmt.Errorf("the initrd /%s has no cryptsetup, so it cannot open the encrypted pool; install "+
				"cryptsetup-initramfs (Debian, Ubuntu) or dracut with cryptsetup, and make it again", initrd)
		}
		return nil
	}
	return nil
}

// hasCryptsetup says whether a list of files, as names or as of ls -l, has a program that opens volumes.
func hasCryptsetup(list io.Reader) (found bool, err error) {
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		for word := range strings.FieldsSeq(lines.Text()) {
			found = found || strings.HasSuffix(word, "bin/cryptsetup") || strings.HasSuffix(word, "/systemd-cryptsetup")
		}
	}
	if err := lines.Err(); err != nil {
		_, _ = io.Copy(io.Discard, list) // so that the program can end
		return found, err
	}
	return found, nil
}
