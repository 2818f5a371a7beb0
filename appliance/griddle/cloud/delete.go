package cloud

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/cloud"
	"griddle/cloud/provider"
)

// deletedStack is the result of `griddle cloud delete -o json`.
type deletedStack struct {
	Stack string   `json:"stack"`
	Kept  []string `json:"kept,omitempty"` // volumes
}

func (g *Commands) deleteCommand() *cobra.Command {
	var o cloud.DeleteOptions
	var yes bool
	c := &cobra.Command{
		Use: "delete", Aliases: []string{"rm"},
		Short: "Delete a stack",
		Long: "Delete everything that a stack has at its provider, with the volumes and their data unless\n" +
			"--keep-disk is given. The command lists what it deletes, and asks first. It never deletes what\n" +
			"griddle did not create.",
		Example: "  griddle cloud delete\n  griddle cloud delete --keep-disk --yes",
		Args:    cobra.NoArgs,
	}
	c.Flags().BoolVar(&o.KeepDisk, "keep-disk", false, "keep the volumes with their data")
	c.Flags().BoolVar(&o.Force, "force", false, "continue if something cannot be deleted")
	cli.YesFlag(c, &yes)
	c.RunE = func(c *cobra.Command, _ []string) error {
		x, err := g.open(c.Context(), "delete")
		if err != nil {
			return err
		}
		x.Report = g.report(g.E.Stderr)
		o.Confirm = func(d *cloud.Deletion) error {
			data := 0
			for _, r := range d.Goes {
				fmt.Fprintf(g.E.Stderr, "delete  %s %s\n", r.Kind, r.Name)
				if r.Kind == provider.KindVolume {
					data++
				}
			}
			for _, r := range d.Stays {
				fmt.Fprintf(g.E.Stderr, "keep    %s %s\n", r.Kind, r.Name)
			}
			question := fmt.Sprintf("Delete these %d?", len(d.Goes))
			if data > 0 {
				question = fmt.Sprintf("Delete these %d, and all data of %d volumes?", len(d.Goes), data)
			}
			return cli.Confirm(g.E, yes, "deleting stack "+d.Stack, question)
		}
		if err := x.Delete(c.Context(), x.s.Name, o); err != nil {
			return advise(err)
		}
		if left, err := x.State.Load(x.s.Name); err == nil {
			return g.E.Printf(deletedStack{x.s.Name, left.Volumes()}, "stack %s: %s; `griddle cloud up` creates "+
				"servers with them again, `griddle cloud delete` deletes them", x.s.Name, left.Summary())
		}
		return g.E.Printf(deletedStack{Stack: x.s.Name}, "stack %s is deleted", x.s.Name)
	}
	return c
}

func (g *Commands) adoptCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "adopt",
		Short: "Rebuild the lost state of a stack",
		Long: "Rebuild lost state from the resources at the provider that are labelled with this stack. The servers\n" +
			"do not change. Secrets that were generated are lost with the state.",
		Example: "  griddle cloud adopt --file shop.yaml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			x, err := g.open(c.Context(), "adopt")
			if err != nil {
				return err
			}
			x.Report = g.report(g.E.Stderr)
			found, err := x.Adopt(c.Context(), x.s)
			return errors.Join(err, g.E.Print(found, func(w io.Writer) error {
				for _, r := range found {
					fmt.Fprintf(w, "%s %s\n", r.Kind, r.Name)
				}
				return nil
			}))
		},
	}
}

func (g *Commands) collectCommand() *cobra.Command {
	var keep int
	var yes bool
	c := &cobra.Command{
		Use:   "collect",
		Short: "Delete old images from the provider",
		Long: "Delete images from the provider of the stack file if no stack of this computer uses them. The newest\n" +
			"of each template are kept.",
		Example: "  griddle cloud collect --keep 3",
		Args:    cobra.NoArgs,
	}
	c.Flags().IntVar(&keep, "keep", 2, "keep the `N` newest versions of each template")
	cli.YesFlag(c, &yes)
	c.RunE = func(c *cobra.Command, _ []string) error {
		x, err := g.open(c.Context(), "collect")
		if err != nil {
			return err
		}
		images, err := x.Superfluous(c.Context(), keep)
		if err != nil {
			return err
		}
		if len(images) == 0 {
			return g.E.Printf([]string{}, "There are no images to delete.")
		}
		for _, i := range images {
			fmt.Fprintf(g.E.Stderr, "delete  image %s\n", i.Name)
		}
		if err := cli.Confirm(g.E, yes, "deleting images", fmt.Sprintf("Delete these %d?", len(images))); err != nil {
			return err
		}
		if err := x.Collect(c.Context(), images); err != nil {
			return err
		}
		return g.E.Printf(images, "%d images are deleted", len(images))
	}
	return c
}
