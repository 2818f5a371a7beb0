package cloud

import (
	"fmt"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/cloud"
	"griddle/cloud/provider"
)

func (g *Commands) deleteCommand() *cobra.Command {
	var o cloud.DeleteOptions
	var yes bool
	c := &cobra.Command{
		Use:   "delete",
		Short: "Remove a stack",
		Long: "Remove all that a stack has at its provider, volumes and their data included unless --keep-disk says otherwise. What goes is\n" +
			"listed and asked for first; what griddle did not make stays.",
		Args: cobra.NoArgs,
	}
	c.Flags().BoolVar(&o.KeepDisk, "keep-disk", false, "leave the volumes with their data")
	c.Flags().BoolVar(&o.Force, "force", false, "go on where something cannot be removed")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	c.RunE = func(c *cobra.Command, _ []string) error {
		x, err := g.open(c.Context(), "delete")
		if err != nil {
			return err
		}
		x.Report = cloud.Printer(g.E.Stderr)
		o.Confirm = func(d *cloud.Deletion) error {
			data := 0
			for _, r := range d.Goes {
				fmt.Fprintf(g.E.Stderr, "remove  %s %s\n", r.Kind, r.Name)
				if r.Kind == provider.KindVolume {
					data++
				}
			}
			for _, r := range d.Stays {
				fmt.Fprintf(g.E.Stderr, "keep    %s %s\n", r.Kind, r.Name)
			}
			question := fmt.Sprintf("Remove these %d?", len(d.Goes))
			if data > 0 {
				question = fmt.Sprintf("Remove these %d, and all data of %d volumes?", len(d.Goes), data)
			}
			return cli.Confirm(g.E, yes, "deleting stack "+d.Stack, question)
		}
		if err := x.Delete(c.Context(), x.s.Name, o); err != nil {
			return advise(err)
		}
		if left, err := x.State.Load(x.s.Name); err == nil {
			_, err = fmt.Fprintf(g.E.Stdout, "stack %s: %s; `griddle cloud up` makes servers with them again, `griddle cloud delete` removes them\n", x.s.Name, left.Summary())
			return err
		}
		_, err = fmt.Fprintf(g.E.Stdout, "stack %s is gone\n", x.s.Name)
		return err
	}
	return c
}

func (g *Commands) adoptCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "adopt",
		Short: "Take a stack over whose state was lost",
		Long: "Make the state of a stack anew from what bears its labels at the provider. Its servers stay as they are; secrets that had been\n" +
			"generated are lost with the state.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			x, err := g.open(c.Context(), "adopt")
			if err != nil {
				return err
			}
			x.Report = cloud.Printer(g.E.Stderr)
			found, err := x.Adopt(c.Context(), x.s)
			for _, r := range found {
				fmt.Fprintf(g.E.Stdout, "%s %s\n", r.Kind, r.Name)
			}
			return err
		},
	}
}

func (g *Commands) collectCommand() *cobra.Command {
	var keep int
	var yes bool
	c := &cobra.Command{
		Use:   "collect",
		Short: "Remove old images from the provider",
		Long:  "Remove the images that no stack known here uses from the provider of the stack file, the newest of each template excepted.",
		Args:  cobra.NoArgs,
	}
	c.Flags().IntVar(&keep, "keep", 2, "`N` newest versions of each template that stay")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	c.RunE = func(c *cobra.Command, _ []string) error {
		x, err := g.open(c.Context(), "collect")
		if err != nil {
			return err
		}
		images, err := x.Superfluous(c.Context(), keep)
		if err != nil || len(images) == 0 {
			return err
		}
		for _, i := range images {
			fmt.Fprintf(g.E.Stderr, "remove  image %s\n", i.Name)
		}
		if err := cli.Confirm(g.E, yes, "removing images", fmt.Sprintf("Remove these %d?", len(images))); err != nil {
			return err
		}
		return x.Collect(c.Context(), images)
	}
	return c
}
