package build

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/cloud/definition"
	"griddle/cloud/diskimage"
)

// ListCommand is `griddle image builds`.
func ListCommand(e *cli.Env) *cobra.Command {
	return cli.Group("builds", "List what was built on this computer, and remove failed steps",
		"List what `griddle image build` made on this computer, and remove what failed or interrupted steps left "+
			"with their targets.",
		buildsList(e), buildsShow(e), buildsClean(e))
}

// print writes the steps of a build, each with its result.
func (b *builds) print(steps []definition.Step, cache *diskimage.Cache) error {
	list := cli.List[definition.Step]{Columns: []cli.Column[definition.Step]{
		{Name: "output", Text: func(s definition.Step) string { return s.Output }},
		{Name: "state", Text: func(s definition.Step) string { return string(s.State) },
			Tone: func(s definition.Step) cli.Tone {
				if s.State == definition.Failed {
					return cli.Bad
				}
				return cli.Plain
			}},
		{Name: "what", Text: func(s definition.Step) string {
			if s.Kind == definition.KindFile {
				return string(s.Kind)
			}
			return string(s.Kind) + " " + s.What
		}},
		{Name: "result", Text: func(s definition.Step) string { return result(s, cache) },
			Raw: func(s definition.Step) string { return s.Result }},
	}}
	if steps == nil {
		steps = []definition.Step{}
	}
	return list.Print(b.e, steps)
}

// result is what became of a step, for people.
func result(s definition.Step, cache *diskimage.Cache) string {
	switch {
	case s.State == definition.Failed:
		first, _, _ := strings.Cut(s.Error, "\n")
		return first
	case s.Kind == definition.KindDisk && s.State == definition.Done:
		disk, err := cache.Find(s.Result)
		switch {
		case errors.Is(err, diskimage.ErrNotFound):
			return "removed from the cache"
		case err != nil:
			return err.Error()
		}
		return job.Bytes(disk.Size)
	case s.Kind == definition.KindRegister:
		return strings.TrimSpace(s.Name + " " + s.Result)
	}
	return s.Result
}

func buildsList(e *cli.Env) *cobra.Command {
	b := &builds{e: e}
	list := cli.List[string]{Columns: []cli.Column[string]{{Name: "name", Text: func(s string) string { return s }}}}
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short:   "List the definitions that were built",
		Example: "  griddle image builds list",
		Args:    cobra.NoArgs,
	}
	b.add(c)
	list.Flags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		builder, err := b.builder(c.Context())
		if err != nil {
			return err
		}
		names, err := builder.Names()
		if err != nil {
			return err
		}
		return list.Print(e, names)
	}
	return c
}

func buildsShow(e *cli.Env) *cobra.Command {
	b := &builds{e: e}
	c := &cobra.Command{
		Use:     "show NAME",
		Short:   "Show everything that was made of a definition",
		Long:    "Show everything that was made of a definition, with the state of each step.",
		Example: "  griddle image builds show web",
		Args:    cobra.ExactArgs(1),
	}
	b.add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		builder, err := b.builder(c.Context())
		if err != nil {
			return err
		}
		steps, err := builder.Artefacts(c.Context(), args[0])
		if err != nil {
			return err
		}
		return b.print(steps, builder.Cache)
	}
	return c
}

func buildsClean(e *cli.Env) *cobra.Command {
	b := &builds{e: e}
	c := &cobra.Command{
		Use:   "clean NAME",
		Short: "Remove what failed steps of a definition left",
		Long: "Remove what failed or interrupted steps of a definition left with their targets, and show the " +
			"steps that remain.",
		Example: "  griddle image builds clean web",
		Args:    cobra.ExactArgs(1),
	}
	b.add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		builder, err := b.builder(c.Context())
		if err != nil {
			return err
		}
		gone, err := builder.RemoveFailed(c.Context(), args[0])
		if e.Notes() {
			fmt.Fprintf(e.Stderr, "%d steps removed\n", len(gone))
		}
		if err != nil {
			return err
		}
		steps, err := builder.Artefacts(c.Context(), args[0])
		if err != nil {
			return err
		}
		return b.print(steps, builder.Cache)
	}
	return c
}
