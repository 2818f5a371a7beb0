package cloud

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/cloud/diskimage"
	"griddle/cloud/diskimage/kernel"
)

// DiskFlags say how disks are made of images.
type DiskFlags struct {
	cache, kernel string
	most          byteSize // that the cache may have
}

func (d *DiskFlags) Add(c *cobra.Command) {
	c.Flags().StringVar(&d.cache, "cache", "", "`DIR` of the cache of disk images (default ~/.cache/griddle/disks)")
	d.most = defaultCache
	c.Flags().Var(&d.most, "cache-size", "maximum `SIZE` of the cache, such as 20GiB; the least recently used disk "+
		"images are removed")
	c.Flags().StringVar(&d.kernel, "kernel", "", "`FILE` of a Debian kernel package for images without a kernel, "+
		"or a directory with such a package unpacked")
}

// Of kernels that were unpacked for images without one, the last few stay, below the cache's directory.
const (
	kernelsDir  = ".kernels"
	keptKernels = 2
)

// defaultCache is how much of disk images is kept.
const defaultCache = 20 << 30

// directory is where disks are kept.
func (d *DiskFlags) directory(e *cli.Env) (string, error) {
	if d.cache != "" {
		return d.cache, nil
	}
	home, err := userHome(e)
	return filepath.Join(home, ".cache", "griddle", "disks"), err
}

// Shrink brings the cache to its size, and says what went. Disks that are named by digest stay.
func (d *DiskFlags) Shrink(ctx context.Context, e *cli.Env, c *diskimage.Cache, named ...string) error {
	gone, err := c.Shrink(ctx, int64(d.most), named...)
	_, kernels := kernel.Shrink(ctx, filepath.Join(c.Dir, kernelsDir), keptKernels)
	err = errors.Join(err, kernels)
	if len(gone) > 0 {
		var sum int64
		for _, k := range gone {
			sum += k.Bytes
		}
		e.Say(fmt.Sprintf("removed the %d least recently used disk images (%s) from %s, which keeps "+
			"%s", len(gone), job.Bytes(sum), c.Dir, &d.most))
	}
	return err
}

// byteSize is a number of bytes as a flag: 500MiB, 20GiB, 1TiB. It implements pflag.Value.
type byteSize int64

// Set implements pflag.Value.
func (s *byteSize) Set(text string) error {
	digits := strings.TrimRight(text, "KMGTiB")
	n, err := strconv.ParseInt(digits, 10, 64)
	unit, known := map[string]int64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
		"TiB": 1 << 40}[text[len(digits):]]
	if err != nil || !known || n < 0 || n > 1<<62/unit {
		return fmt.Errorf("%.40q is not a size such as 20GiB", text)
	}
	*s = byteSize(n * unit)
	return nil
}

// String implements pflag.Value.
func (s *byteSize) String() string {
	for _, u := range []struct {
		name string
		unit byteSize
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if *s != 0 && *s%u.unit == 0 {
			return fmt.Sprint(int64(*s/u.unit)) + u.name
		}
	}
	return strconv.FormatInt(int64(*s), 10)
}

// Type implements pflag.Value.
func (s *byteSize) Type() string { return "size" }

// Open gives the cache of disks.
func (d *DiskFlags) Open(ctx context.Context, e *cli.Env) (*diskimage.Cache, error) {
	dir, err := d.directory(e)
	if err != nil {
		return nil, err
	}
	c := &diskimage.Cache{Dir: dir, Keep: true, Warn: e.Warn}
	if d.kernel == "" {
		return c, nil
	}
	i, err := os.Stat(d.kernel)
	switch {
	case err != nil:
		return nil, fmt.Errorf("finding the kernel: %w", err)
	case i.IsDir():
		c.Kernel = &kernel.Kernel{Dir: d.kernel}
	default:
		c.Kernel, err = kernel.Unpack(ctx, d.kernel, filepath.Join(dir, kernelsDir))
	}
	return c, err
}
