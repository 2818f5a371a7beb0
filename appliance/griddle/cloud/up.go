package cloud

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/cloud"
	"griddle/cloud/plan"
)

// changing is what commands that change a stack share.
type changing struct {
	yes bool
}

func (g *Commands) changeFlags(c *cobra.Command, f *changing) {
	g.buildFlags(c)
	c.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask before anything is replaced or removed")
}

// options shows the plan, and asks if it replaces or removes anything.
func (f *changing) options(e *cli.Env) cloud.Options {
	return cloud.Options{Confirm: func(p *plan.Plan) error {
		if p.Empty() || !e.Notes() && f.yes {
			return nil
		}
		if err := p.Print(e.Stderr, false); err != nil || p.Count(plan.Replace)+p.Count(plan.Remove) == 0 {
			return err
		}
		return cli.Confirm(e, f.yes, "changing stack "+p.Stack, "Replace and remove these?")
	}}
}

// end prints the result.
func (f *changing) end(e *cli.Env, p *plan.Plan, err error) error {
	if err != nil {
		return advise(err)
	}
	return e.Print(p, func(w io.Writer) error {
		if p.Empty() {
			return p.Print(w, false)
		}
		_, err := fmt.Fprintf(w, "stack %s is up\n", p.Stack)
		return err
	})
}

// advise adds what a person does about a failure.
func advise(err error) error {
	if err == nil || cli.HintOf(err) != "" {
		return err
	}
	return cli.WithHint(err, "What to do: %s.", cloud.Advice(err))
}

func (g *Commands) planCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "plan",
		Short: "Show what up would change, and why",
		Long: "Show what `griddle cloud up` would change, and why. This asks the provider what exists, and " +
			"changes nothing.",
		Example: "  griddle cloud plan\n  griddle cloud plan --all -o yaml",
		Args:    cobra.NoArgs,
	}
	g.buildFlags(c)
	c.Flags().BoolVar(&all, "all", false, "also show what does not change")
	c.RunE = func(c *cobra.Command, _ []string) error {
		x, err := g.openChecked(c.Context(), "plan")
		if err != nil {
			return err
		}
		x.Report = g.report(g.E.Stderr)
		p, err := x.Plan(c.Context(), x.s)
		if err != nil {
			return err
		}
		return g.E.Print(p, func(w io.Writer) error { return p.Print(w, all) })
	}
	return c
}

// openChecked is open for commands that create what the file declares: all its faults are reported first.
func (g *Commands) openChecked(ctx context.Context, command string) (*session, error) {
	s, err := g.Read()
	if err == nil {
		err = g.preflight(ctx, s, false)
	}
	if err != nil {
		return nil, err
	}
	return g.open(ctx, command)
}

// changeCommand makes a command that shows a plan, asks, and follows it.
func (g *Commands) changeCommand(c *cobra.Command, do func(context.Context, *session, []string,
	cloud.Options) (*plan.Plan, error), more func(*cobra.Command, *cloud.Options)) *cobra.Command {
	var f changing
	var o cloud.Options
	g.changeFlags(c, &f)
	if more != nil {
		more(c, &o)
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		x, err := g.openChecked(c.Context(), c.Name())
		if err != nil {
			return err
		}
		defer x.images.close()
		bar := g.E.Phases()
		defer bar.End()
		x.images.bar, x.Report = bar, g.report(bar)
		o.Confirm = f.options(g.E).Confirm
		p, err := do(c.Context(), x, args, o)
		bar.End()
		if err := f.end(g.E, p, err); err != nil || !g.E.ForPeople() {
			return err
		}
		s, err := x.Status(c.Context(), x.s.Name)
		if err != nil {
			return err
		}
		return writeReach(g.E, g.E.Stdout, s)
	}
	return c
}

func (g *Commands) upCommand() *cobra.Command {
	return g.changeCommand(&cobra.Command{
		Use:   "up",
		Short: "Create or change the stack as its file declares it",
		Long: "Create or change the stack as its file declares it, in numbered stages. What is right already is not\n" +
			"changed, so that a second run does nothing. Run it again after an interruption to resume; nothing is\n" +
			"created twice.",
		Example: "  griddle cloud up\n  griddle cloud up --file shop.yaml --yes\n  griddle cloud up --rebuild web-1",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, x *session, _ []string, o cloud.Options) (*plan.Plan, error) {
		return x.Up(ctx, x.s, o)
	}, func(c *cobra.Command, o *cloud.Options) {
		c.Flags().StringSliceVar(&o.Rebuild, "rebuild", nil, "replace these `SERVERS`; their volumes and addresses "+
			"are kept")
		c.Flags().IntVar(&o.AtOnce, "at-once", 1, "replace up to `N` servers at the same time")
		cli.CompleteFlag(c, "rebuild", g.servers)
	})
}

func (g *Commands) upgradeCommand() *cobra.Command {
	return g.changeCommand(&cobra.Command{
		Use:   "upgrade",
		Short: "Replace the servers whose image has a new version",
		Long: "Replace every server whose image has a new version, role by role. Addresses and volumes are kept;\n" +
			"the root disk is not. The command stops at the first server that fails.",
		Example: "  griddle cloud upgrade\n  griddle cloud upgrade --at-once 2 --yes",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, x *session, _ []string, o cloud.Options) (*plan.Plan, error) {
		return x.Upgrade(ctx, x.s, nil, o)
	}, func(c *cobra.Command, o *cloud.Options) {
		c.Flags().IntVar(&o.AtOnce, "at-once", 1, "replace up to `N` servers at the same time")
	})
}

func (g *Commands) scaleCommand() *cobra.Command {
	return g.changeCommand(&cobra.Command{
		Use:   "scale ROLE N",
		Short: "Change the number of servers in a role",
		Long: "Change the number of servers in a role, within the limits of the stack file. The number is kept " +
			"for later runs of `up`.",
		Example: "  griddle cloud scale worker 5",
		Args:    cobra.ExactArgs(2), ValidArgsFunction: cli.Arguments(g.roles),
	}, func(ctx context.Context, x *session, args []string, o cloud.Options) (*plan.Plan, error) {
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return nil, cli.Usagef("%q is not a number", args[1])
		}
		return x.Scale(ctx, x.s, args[0], n, o)
	}, nil)
}
