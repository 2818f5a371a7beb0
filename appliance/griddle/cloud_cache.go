package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/job"
	"griddle/cloud/diskimage"
)

// diskFlags say how disks are made of images.
type diskFlags struct {
	cache, kernel string
	most          byteSize // that the cache may have
}

func (d *diskFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&d.cache, "cache", "", "`DIR` where disk images are kept (default ~/.cache/griddle/disks)")
	d.most = defaultCache
	c.Flags().Var(&d.most, "cache-size", "most `SIZE` of the disk images that are kept, such as 20GiB; the ones used longest ago are removed")
	c.Flags().StringVar(&d.kernel, "kernel", "", "Debian package `FILE` of a kernel for images that have none, or a directory with one unpacked")
}

// Of kernels that were unpacked for images without one, the last few stay, below the cache's directory.
const (
	kernelsDir  = ".kernels"
	keptKernels = 2
)

// defaultCache is how much of disk images is kept.
const defaultCache = 20 << 30

// directory is where disks are kept.
func (d *diskFlags) directory(e *env) (string, error) {
	if d.cache != "" {
		return d.cache, nil
	}
	home, err := userHome(e)
	return filepath.Join(home, ".cache", "griddle", "disks"), err
}

// shrink brings the cache to its size, and says what went. Disks that are named by digest stay.
func (d *diskFlags) shrink(ctx context.Context, e *env, c *diskimage.Cache, named ...string) error {
	gone, err := c.Shrink(ctx, int64(d.most), named...)
	_, kernels := diskimage.ShrinkKernels(ctx, filepath.Join(c.Dir, kernelsDir), keptKernels)
	err = errors.Join(err, kernels)
	if len(gone) > 0 {
		var sum int64
		for _, k := range gone {
			sum += k.Bytes
		}
		e.say(fmt.Sprintf("%d disk images that were used longest ago (%s) are removed from %s, which keeps %s", len(gone), job.Bytes(sum), c.Dir, &d.most))
	}
	return err
}

// byteSize is a number of bytes as a flag: 500MiB, 20GiB, 1TiB. It implements pflag.Value.
type byteSize int64

// Set implements pflag.Value.
func (s *byteSize) Set(text string) error {
	digits := strings.TrimRight(text, "KMGTiB")
	n, err := strconv.ParseInt(digits, 10, 64)
	unit, known := map[string]int64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}[text[len(digits):]]
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

// open gives the cache of disks.
func (d *diskFlags) open(ctx context.Context, e *env) (*diskimage.Cache, error) {
	dir, err := d.directory(e)
	if err != nil {
		return nil, err
	}
	c := &diskimage.Cache{Dir: dir, Keep: true, Warn: e.warn}
	if d.kernel == "" {
		return c, nil
	}
	i, err := os.Stat(d.kernel)
	switch {
	case err != nil:
		return nil, fmt.Errorf("finding the kernel: %w", err)
	case i.IsDir():
		c.Kernel = &diskimage.Kernel{Dir: d.kernel}
	default:
		c.Kernel, err = diskimage.UnpackKernel(ctx, d.kernel, filepath.Join(dir, kernelsDir))
	}
	return c, err
}

func (g *clouds) cacheCommand() *cobra.Command {
	list := &cobra.Command{
		Use:   "list",
		Short: "List the disk images that are kept",
		Long:  "List the disk images that were made of images of the catalog and are kept for the next time, the one used last first.",
		Args:  cobra.NoArgs,
	}
	clean := &cobra.Command{
		Use:   "clean",
		Short: "Remove disk images that are kept",
		Long: "Remove the disk images that were used longest ago until the others take no more than --cache-size, and what builds that were\n" +
			"killed left. Disk images in use stay. Each can be made again; servers and providers have copies of their own.",
		Args: cobra.NoArgs,
	}
	var out outputFlag
	var disks diskFlags
	var all bool
	out.add(list)
	for _, c := range []*cobra.Command{list, clean} {
		disks.add(c)
		_ = c.Flags().MarkHidden("kernel")
	}
	_ = list.Flags().MarkHidden("cache-size")
	clean.Flags().BoolVar(&all, "all", false, "remove all that are not in use")
	list.RunE = func(c *cobra.Command, _ []string) error {
		cache, err := disks.open(c.Context(), g.e)
		if err != nil {
			return err
		}
		kept, err := cache.Usage()
		if err != nil {
			return err
		}
		if out.json() {
			return writeJSON(g.e.stdout, append([]diskimage.Kept{}, kept...))
		}
		var rows [][]string
		for _, k := range kept {
			note := ""
			if k.InUse {
				note = "in use"
			}
			rows = append(rows, []string{k.Ref, string(k.Format), job.Bytes(k.Bytes), k.Last.Format("2006-01-02 15:04"), note})
		}
		return writeTable(g.e.stdout, []string{"IMAGE", "FORMAT", "SIZE", "LAST USED", "NOTE"}, rows)
	}
	clean.RunE = func(c *cobra.Command, _ []string) error {
		cache, err := disks.open(c.Context(), g.e)
		if err != nil {
			return err
		}
		if all {
			disks.most = 0
		}
		if err := disks.shrink(c.Context(), g.e, cache); err != nil {
			return err
		}
		_, err = cache.Collect(c.Context(), int(^uint(0)>>1)) // what killed builds left
		return err
	}
	return group("cache", "List and remove the disk images that are kept on this computer", "", list, clean)
}
