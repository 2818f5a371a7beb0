package machine

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

func (m *machines) cancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel MACHINE...",
		Short: "Cancel the jobs that wait for machines or run on them",
		Long: "Cancel the jobs that wait for machines or run on them. What is wrong with one machine does not keep\n" +
			"the others from being cancelled; the exit code is then 1. With -o json, one machine is an object, and\n" +
			"several are a list.",
		Example: "  griddle machine cancel node7\n  griddle machine cancel lab-1 lab-2 lab-3",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: cli.Each(cli.Machines(m.remote)),
		RunE: m.with(func(ctx context.Context, client *api.Client, args []string) error {
			if len(args) > 1 {
				return m.cancelAll(ctx, client, args)
			}
			got, err := client.Cancel(ctx, args[0])
			if err != nil {
				return err
			}
			return m.e.Print(got, func(w io.Writer) error { return cancelled(w, got) })
		}),
	}
}

// cancelAll cancels the jobs of several machines.
func (m *machines) cancelAll(ctx context.Context, client *api.Client, keys []string) error {
	var errs []error
	all := []api.Machine{}
	for i, key := range keys {
		got, err := client.Cancel(ctx, key)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("cancelling the job of %s: %w", job.Printable(key), err))
			if ofMachine(err) {
				continue
			}
			if left := keys[i+1:]; len(left) > 0 {
				errs = append(errs, fmt.Errorf("cancelling the jobs of %s: %w", printable(left), errSkipped))
			}
			break
		}
		all = append(all, got)
	}
	errs = append(errs, m.e.Print(all, func(w io.Writer) error {
		for _, one := range all {
			if err := cancelled(w, one); err != nil {
				return err
			}
		}
		return nil
	}))
	return errors.Join(errs...)
}

// cancelled says what became of a machine's job.
func cancelled(w io.Writer, m api.Machine) error {
	what := "the job with " + m.Job.Spec.Image.Ref
	if m.Job.Spec.Kind == job.Erase {
		what = "erasing disk " + job.Sentence(m.Job.Spec.Erase)
	}
	if m.Job.Spec.Kind.IsAction() {
		what = "its " + actionOf(*m.Job)
	}
	_, err := fmt.Fprintf(w, "%s: %s is cancelled.\n", m.Name, what)
	if disk := m.Job.Spec.Started; err == nil && disk != "" {
		_, err = fmt.Fprintf(w, "It had started to write on disk %s, which has no usable content now.\n",
			job.Printable(disk))
	}
	return err
}
