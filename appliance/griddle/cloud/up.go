package cloud

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/cloud"
	"griddle/cloud/plan"
)

// changing is what commands that change a stack have in common.
type changing struct {
	yes bool
	out cli.Output
}

func (g *Commands) changeFlags(c *cobra.Command, f *changing) {
	g.buildFlags(c)
	f.out.Add(c)
	c.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask before anything is replaced or removed")
}

// options shows the plan, and asks where it takes anything away.
func (f *changing) options(e *cli.Env) cloud.Options {
	return cloud.Options{Confirm: func(p *plan.Plan) error {
		if p.Empty() || f.out.JSON() && f.yes {
			return nil
		}
		if err := p.Print(e.Stderr, false); err != nil || p.Count(plan.Replace)+p.Count(plan.Remove) == 0 {
			return err
		}
		return cli.Confirm(e, f.yes, "changing stack "+p.Stack, "Replace and remove these?")
	}}
}

// end prints what came of it.
func (f *changing) end(e *cli.Env, p *plan.Plan, err error) error {
	if err != nil {
		return advise(err)
	}
	if f.out.JSON() {
		return cli.WriteJSON(e.Stdout, p)
	}
	if p.Empty() {
		return p.Print(e.Stdout, false)
	}
	_, err = fmt.Fprintf(e.Stdout, "stack %s is up\n", p.Stack)
	return err
}

// advise adds what a person does about a failure.
func advise(err error) error {
	if err == nil || cli.HintOf(err) != "" {
		return err
	}
	return cli.WithHint(err, "What to do: %s.", cloud.Advice(err))
}

func (g *Commands) planCommand() *cobra.Command {
	var out cli.Output
	var all bool
	c := &cobra.Command{
		Use:   "plan",
		Short: "Show what up would change, and why",
		Long:  "Show what `griddle cloud up` would change, and why. The provider is asked what there is; nothing is changed.",
		Args:  cobra.NoArgs,
	}
	g.buildFlags(c)
	out.Add(c)
	c.Flags().BoolVar(&all, "all", false, "show what stays as it is, too")
	c.RunE = func(c *cobra.Command, _ []string) error {
		x, err := g.openChecked(c.Context(), "plan")
		if err != nil {
			return err
		}
		x.Report = cloud.Printer(g.E.Stderr)
		p, err := x.Plan(c.Context(), x.s)
		if err != nil {
			return err
		}
		if out.JSON() {
			return cli.WriteJSON(g.E.Stdout, p)
		}
		return p.Print(g.E.Stdout, all)
	}
	return c
}

// openChecked is open for commands that make what is declared: all that is wrong with it is said first.
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
func (g *Commands) changeCommand(c *cobra.Command, do func(context.Context, *session, []string, cloud.Options) (*plan.Plan, error), more func(*cobra.Command, *cloud.Options)) *cobra.Command {
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
		x.Report = cloud.Printer(g.E.Stderr)
		o.Confirm = f.options(g.E).Confirm
		p, err := do(c.Context(), x, args, o)
		if err := f.end(g.E, p, err); err != nil || f.out.JSON() {
			return err
		}
		s, err := x.Status(c.Context(), x.s.Name)
		if err != nil {
			return err
		}
		return writeReach(g.E.Stdout, s)
	}
	return c
}

func (g *Commands) upCommand() *cobra.Command {
	return g.changeCommand(&cobra.Command{
		Use:   "up",
		Short: "Make the stack as its file declares it",
		Long: "Make the stack as its file declares it, in numbered stages; what is so already is left alone, so that a second run\n" +
			"does nothing. A run that was ended anywhere is taken up again by the next one, and nothing is made twice.",
		Args: cobra.NoArgs,
	}, func(ctx context.Context, x *session, _ []string, o cloud.Options) (*plan.Plan, error) {
		return x.Up(ctx, x.s, o)
	}, func(c *cobra.Command, o *cloud.Options) {
		c.Flags().StringSliceVar(&o.Rebuild, "rebuild", nil, "make these `SERVERS` anew; their volumes and addresses stay")
		c.Flags().IntVar(&o.AtOnce, "at-once", 1, "`N` servers that may be replaced at the same time")
	})
}

func (g *Commands) upgradeCommand() *cobra.Command {
	return g.changeCommand(&cobra.Command{
		Use:   "upgrade",
		Short: "Move the servers to the versions that their images have now",
		Long: "Make every server anew whose image has another version now, role by role. Addresses and volumes stay; the root disk\n" +
			"does not. The first server that fails stops it.",
		Args: cobra.NoArgs,
	}, func(ctx context.Context, x *session, _ []string, o cloud.Options) (*plan.Plan, error) {
		return x.Upgrade(ctx, x.s, nil, o)
	}, func(c *cobra.Command, o *cloud.Options) {
		c.Flags().IntVar(&o.AtOnce, "at-once", 1, "`N` servers that may be replaced at the same time")
	})
}

func (g *Commands) scaleCommand() *cobra.Command {
	return g.changeCommand(&cobra.Command{
		Use:   "scale ROLE N",
		Short: "Have N servers in a role",
		Long:  "Have N servers in a role, within the bounds that the file gives it. The number is kept until the file's own is asked for again.",
		Args:  cobra.ExactArgs(2),
	}, func(ctx context.Context, x *session, args []string, o cloud.Options) (*plan.Plan, error) {
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return nil, cli.Usagef("%q is no number", args[1])
		}
		return x.Scale(ctx, x.s, args[0], n, o)
	}, nil)
}
