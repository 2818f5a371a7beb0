package facts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"griddle/appliance/job"
)

// ResizePath is the program that shrinks an ext2, ext3 or ext4, of Debian's e2fsprogs.
const ResizePath = "/sbin/resize2fs"

// maxOutput is how much of the output of a program is kept, in bytes.
const maxOutput = 16 << 10

// output keeps the beginning of what a program prints.
type output struct {
	bytes.Buffer
	left int
}

func (o *output) Write(p []byte) (int, error) {
	n := min(len(p), o.left)
	o.left -= n
	o.Buffer.Write(p[:n])
	return len(p), nil
}

// smallest asks resize2fs for the smallest number of blocks that an ext may have. It opens the device for reading only.
func smallest(ctx context.Context, device string) (int64, error) {
	cmd := exec.CommandContext(ctx, ResizePath, "-P", device)
	cmd.Env, cmd.WaitDelay = []string{"LC_ALL=C"}, time.Second
	out := &output{left: maxOutput}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, fmt.Errorf("running resize2fs: %w", err)
	}
	if err != nil {
		return 0, fmt.Errorf("resize2fs says: %s", reason(out.String()))
	}
	return parseSmallest(out.String())
}

// parseSmallest reads the output of resize2fs -P, version 1.47.
func parseSmallest(out string) (int64, error) {
	const before = "Estimated minimum size of the filesystem: "
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, before); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 48)
			if err != nil || n < 1 {
				return 0, fmt.Errorf("reading the output of resize2fs: %q is not a size", job.Printable(rest))
			}
			return n, nil
		}
	}
	return 0, fmt.Errorf("reading the output of resize2fs: it does not say the smallest size: %s", reason(out))
}

// reason is what a program said, without its first line, its version.
func reason(out string) string {
	if _, rest, ok := strings.Cut(out, "\n"); ok && strings.HasPrefix(out, "resize2fs ") {
		out = rest
	}
	return job.Sentence(out)
}
