package cloud

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/cloud/diskimage"
)

var cacheColumns = []cli.Column[diskimage.Kept]{
	{Name: "image", Text: func(k diskimage.Kept) string { return k.Ref }},
	{Name: "format", Text: func(k diskimage.Kept) string { return string(k.Format) }},
	{Name: "size", Text: func(k diskimage.Kept) string { return job.Bytes(k.Bytes) },
		Raw: func(k diskimage.Kept) string { return strconv.FormatInt(k.Bytes, 10) }},
	{Name: "used", Text: func(k diskimage.Kept) string { return k.Last.Format("2006-01-02 15:04") },
		Raw: func(k diskimage.Kept) string { return k.Last.UTC().Format(time.RFC3339) }},
	{Name: "note", Text: func(k diskimage.Kept) string {
		if k.InUse {
			return "in use"
		}
		return ""
	}},
}

func (g *Commands) cacheCommand() *cobra.Command {
	list := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "List the disk images in the cache",
		Long: "List the disk images that were made from images of the catalog and are kept for the next time, " +
			"last used first.",
		Example: "  griddle cloud cache list",
		Args:    cobra.NoArgs,
	}
	clean := &cobra.Command{
		Use:   "clean",
		Short: "Remove disk images from the cache",
		Long: "Remove the least recently used disk images until the others take no more than --cache-size, and the\n" +
			"files that interrupted builds left. Disk images in use are kept. Each can be made again; servers and\n" +
			"providers have their own copies.",
		Example: "  griddle cloud cache clean --cache-size 10GiB\n  griddle cloud cache clean --all",
		Args:    cobra.NoArgs,
	}
	kinds := cli.List[diskimage.Kept]{Columns: cacheColumns}
	kinds.Flags(list)
	var disks DiskFlags
	var all bool
	for _, c := range []*cobra.Command{list, clean} {
		disks.Add(c)
		_ = c.Flags().MarkHidden("kernel")
	}
	_ = list.Flags().MarkHidden("cache-size")
	clean.Flags().BoolVar(&all, "all", false, "remove all disk images that are not in use")
	list.RunE = func(c *cobra.Command, _ []string) error {
		cache, err := disks.Open(c.Context(), g.E)
		if err != nil {
			return err
		}
		kept, err := cache.Usage()
		if err != nil {
			return err
		}
		return kinds.Print(g.E, kept)
	}
	clean.RunE = func(c *cobra.Command, _ []string) error {
		cache, err := disks.Open(c.Context(), g.E)
		if err != nil {
			return err
		}
		if all {
			disks.most = 0
		}
		if err := disks.Shrink(c.Context(), g.E, cache); err != nil {
			return err
		}
		_, err = cache.Collect(c.Context(), int(^uint(0)>>1)) // what killed builds left
		return err
	}
	return cli.Group("cache", "List and remove the disk images in the cache",
		"List and remove the disk images that are kept on this computer.", list, clean)
}
