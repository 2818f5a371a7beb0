package cloud

import (
	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/cloud/diskimage"
)

func (g *Commands) cacheCommand() *cobra.Command {
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
	var out cli.Output
	var disks DiskFlags
	var all bool
	out.Add(list)
	for _, c := range []*cobra.Command{list, clean} {
		disks.Add(c)
		_ = c.Flags().MarkHidden("kernel")
	}
	_ = list.Flags().MarkHidden("cache-size")
	clean.Flags().BoolVar(&all, "all", false, "remove all that are not in use")
	list.RunE = func(c *cobra.Command, _ []string) error {
		cache, err := disks.Open(c.Context(), g.E)
		if err != nil {
			return err
		}
		kept, err := cache.Usage()
		if err != nil {
			return err
		}
		if out.JSON() {
			return cli.WriteJSON(g.E.Stdout, append([]diskimage.Kept{}, kept...))
		}
		var rows [][]string
		for _, k := range kept {
			note := ""
			if k.InUse {
				note = "in use"
			}
			rows = append(rows, []string{k.Ref, string(k.Format), job.Bytes(k.Bytes), k.Last.Format("2006-01-02 15:04"), note})
		}
		return cli.WriteTable(g.E.Stdout, []string{"IMAGE", "FORMAT", "SIZE", "LAST USED", "NOTE"}, rows)
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
	return cli.Group("cache", "List and remove the disk images that are kept on this computer", "", list, clean)
}
