package room

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/appliance/order"
)

// OrderCommand is `griddle order`.
func OrderCommand(e *cli.Env) *cobra.Command {
	c := cli.Group("order", "Show, hold, continue, cancel and retry orders for many machines",
		"Show the orders for many machines, which `griddle room` makes, and change how they go. ORDER is the\n"+
			"number of an order.")
	r := &rooms{e: e, remote: cli.RemoteFlags(e, c)}
	c.AddCommand(r.listCommand(), r.showCommand(), r.waitCommand(),
		r.changeCommand("hold", "Give no further machine a job; those that have one keep it",
			"Hold an order: no further machine gets a job, until `griddle order continue`. Machines that have\n"+
				"their job continue with it."),
		r.changeCommand("continue", "Continue an order that holds",
			"Continue an order that an operator held, or that holds by itself because too many machines failed.\n"+
				"Those that failed so far do not count any more."),
		r.changeCommand("cancel", "Take back the jobs that have not begun, and give no others",
			"Cancel an order: machines that wait get no job, and jobs that their machines have not begun are taken\n"+
				"back. Machines that have begun continue, because half an install does not start; `griddle\n"+
				"machine cancel` stops one."),
		r.retryCommand())
	return c
}

func (r *rooms) listCommand() *cobra.Command {
	number := func(get func(order.Counts) int) func(api.Order) string {
		return func(o api.Order) string { return strconv.Itoa(get(o.Counts)) }
	}
	list := cli.List[api.Order]{Columns: []cli.Column[api.Order]{
		{Name: "order", Text: func(o api.Order) string { return o.ID }},
		{Name: "state", Text: func(o api.Order) string { return string(o.State) }},
		{Name: "what", Text: func(o api.Order) string { return job.Sentence(o.What) }},
		{Name: "waiting", Text: number(func(c order.Counts) int { return c.Waiting })},
		{Name: "given", Text: number(func(c order.Counts) int { return c.Given })},
		{Name: "done", Text: number(func(c order.Counts) int { return c.Done })},
		{Name: "failed", Text: number(func(c order.Counts) int { return c.Failed })},
		{Name: "skipped", Text: number(func(c order.Counts) int { return c.Skipped })},
		{Name: "cancelled", Text: number(func(c order.Counts) int { return c.Cancelled })},
		{Name: "by", Text: func(o api.Order) string { return job.Printable(o.By) }},
		{Name: "created", Text: func(o api.Order) string { return o.Created.Local().Format(time.DateTime) },
			Raw: func(o api.Order) string { return o.Created.UTC().Format(time.RFC3339) }},
	}}
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short:   "List the orders for many machines, the newest first",
		Example: "  griddle order list\n  griddle order list --filter state=running",
		Args:    cobra.NoArgs,
		RunE: r.withOrder(func(ctx context.Context, client *api.Client, _ []string) error {
			var all []api.Order
			if err := client.EachOrderPage(ctx, func(page api.Orders) bool {
				all = append(all, page.Orders...)
				return true
			}); err != nil {
				return err
			}
			return list.Print(r.e, all)
		}),
	}
	list.Flags(c)
	return c
}

func (r *rooms) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show ORDER",
		Short:   "Show an order, with what became of each machine",
		Example: "  griddle order show 7\n  griddle order show 7 -o json",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cli.Arguments(r.orders),
		RunE: r.withOrder(func(ctx context.Context, client *api.Client, args []string) error {
			o, err := client.Order(ctx, args[0])
			if err != nil {
				return err
			}
			return r.e.Print(o, func(w io.Writer) error { return r.page(w, o) })
		}),
	}
}

// withOrder is with for a command about an order.
func (r *rooms) withOrder(do func(ctx context.Context, client *api.Client, args []string) error) func(*cobra.Command,
	[]string) error {
	return func(c *cobra.Command, args []string) error {
		client, err := r.remote.Client()
		if err != nil {
			return err
		}
		err = do(c.Context(), client, args)
		var p *job.Problem
		if errors.As(err, &p) && p.Status == http.StatusNotFound {
			return cli.WithHint(err, "`griddle order list` shows all orders.")
		}
		return cli.ExplainRemote(err)
	}
}

// orders completes the number of an order.
func (r *rooms) orders(ctx context.Context) (out []string, err error) {
	client, err := r.remote.Client()
	if err != nil {
		return nil, err
	}
	err = client.EachOrderPage(ctx, func(page api.Orders) bool {
		for _, o := range page.Orders {
			out = append(out, o.ID)
		}
		return false
	})
	return out, err
}

// page writes an order for people.
func (r *rooms) page(w io.Writer, o api.Order) error {
	row := func(title, text string) { fmt.Fprintf(w, "%-10s%s\n", title, text) }
	row("order", o.ID+": "+job.Sentence(o.What))
	text := string(o.State) + " since " + o.Changed.Local().Format(time.DateTime)
	if o.Why != "" {
		text += ": " + job.Sentence(o.Why)
	}
	row("state", text)
	row("made", fmt.Sprintf("%s by %s", o.Created.Local().Format(time.DateTime), job.Printable(o.By)))
	if l := limits(o.Limits); l != "" {
		row("limits", l)
	}
	row("machines", counts(o.Counts))
	fmt.Fprintln(w)
	waves, several := o.Waves(), len(o.Limits.Waves) > 1
	head := []string{"MACHINE", "STATE", "SINCE", "IMAGE", ""}
	if several {
		head = append([]string{"WAVE"}, head...)
	}
	var rows [][]string
	for i, m := range o.Machines {
		line := []string{job.Printable(m.Name), state(m), m.Changed.Local().Format(time.DateTime), m.Image,
			job.Sentence(m.Why)}
		if several {
			line = append([]string{strconv.Itoa(waves[i] + 1)}, line...)
		}
		rows = append(rows, line)
	}
	return r.e.WriteTable(w, head, rows)
}

// limits are those of an order in words.
func limits(l order.Limits) string {
	out := ""
	add := func(format string, args ...any) {
		if out != "" {
			out += ", "
		}
		out += fmt.Sprintf(format, args...)
	}
	if l.AtMost > 0 {
		add("at most %d at once", l.AtMost)
	}
	if l.Pause > 0 {
		add("%v between two", l.Pause.Duration())
	}
	if len(l.Waves) > 0 {
		add("waves of %v percent", l.Waves)
	}
	if l.Failures != "" {
		add("holds with more than %s failures", l.Failures)
	}
	if l.Retries > 0 {
		add("%d retries", l.Retries)
	}
	if l.Begin > 0 {
		add("begins within %v", l.Begin.Duration())
	}
	return out
}

func (r *rooms) waitCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "wait ORDER",
		Short: "Wait until an order has ended or holds",
		Long: "Wait until an order has ended or holds, and say what becomes of each machine. The exit code is 1 if\n" +
			"a machine did not get what it should, or if the order holds.",
		Example: "  griddle order wait 7",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cli.Arguments(r.orders),
		RunE: r.withOrder(func(ctx context.Context, client *api.Client, args []string) error {
			o, err := client.Order(ctx, args[0])
			if err != nil {
				return err
			}
			return r.await(ctx, client, o)
		}),
	}
}

func (r *rooms) changeCommand(action, short, long string) *cobra.Command {
	return &cobra.Command{
		Use: action + " ORDER", Short: short, Long: long,
		Example: "  griddle order " + action + " 7",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cli.Arguments(r.orders),
		RunE: r.withOrder(func(ctx context.Context, client *api.Client, args []string) error {
			o, err := client.ChangeOrder(ctx, args[0], action)
			if err != nil {
				return err
			}
			return r.e.Printf(o, "Order %s is %s. %s.", o.ID, o.State, counts(o.Counts))
		}),
	}
}

func (r *rooms) retryCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "retry ORDER [MACHINE...]",
		Short: "Give machines that failed, were skipped or cancelled another job",
		Long: "Give machines of an order that failed, were skipped or cancelled another job: those that you name,\n" +
			"or all of them. The order runs again. Nothing is lost that was not agreed to when the order was\n" +
			"made.\n\n" +
			"A machine that began and then was silent keeps its job; `griddle machine cancel` ends that first.",
		Example: "  griddle order retry 7\n  griddle order retry 7 lab-3",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: cli.Arguments(r.orders),
		RunE: r.withOrder(func(ctx context.Context, client *api.Client, args []string) error {
			o, err := client.RetryOrder(ctx, args[0], api.RetryOrder{Machines: args[1:]})
			if err != nil {
				return err
			}
			return r.e.Printf(o, "Order %s is %s. %s.", o.ID, o.State, counts(o.Counts))
		}),
	}
}
