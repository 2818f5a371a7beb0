package machine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

func (m *machines) runCommand() *cobra.Command {
	var w waits
	var limit time.Duration
	c := &cobra.Command{
		Use:   "run MACHINE... -- PROGRAM [ARGUMENT...]",
		Short: "Run a program on machines whose installed system is up",
		Long: "Run a program on machines whose installed system is up, as root, without input and without a shell.\n" +
			"A machine learns of it with its next check-in, a few minutes later, and runs it at most once: if its\n" +
			"end is not known, for example after a power cut, the machine says that and does not run it again.\n" +
			"With --wait the command shows what the program said, at most the last 16 KiB, and fails if a\n" +
			"program failed. `griddle machine show -o json` has it later.\n\n" +
			"Only administrators may do this, unless the configuration of the server says otherwise\n" +
			"(run_commands). The journal of the machine and the audit log have all words: put no secret into\n" +
			"them. A machine forbids it with the file /etc/griddle/no-run.\n\n" + actionHelp,
		Example: "  griddle machine run node7 --wait -- systemctl restart nginx\n" +
			"  griddle machine run lab-1 lab-2 --limit 10m --wait -- apt-get update\n" +
			"  griddle machine run node7 --wait -- sh -c 'df -h / | tail -1'",
		ValidArgsFunction: cli.Each(cli.Machines(m.remote)),
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		dash := c.ArgsLenAtDash()
		if dash < 1 || dash == len(args) {
			return cli.Usagef("name machines, then --, then the program and its arguments")
		}
		seconds := int(limit.Round(time.Second) / time.Second)
		if limit < time.Second {
			return cli.Usagef("--limit is from 1s to %s", job.RunLimitMost)
		}
		argv := args[dash:]
		if err := job.CheckLine(argv, seconds); err != nil {
			return cli.Usage(err)
		}
		return m.act(&w, action{"running a program on", "runs it", func(ctx context.Context, client *api.Client,
			key string) (api.Machine, error) {
			return client.Run(ctx, key, api.Run{Argv: argv, Limit: seconds, Within: w.seconds(), Replace: w.replace})
		}})(c, args[:dash])
	}
	c.Flags().DurationVar(&limit, "limit", job.RunLimit, "`TIME` that the program may take")
	w.flags(c)
	return c
}

// said is what a program said, each line after a mark, so that it is not taken for what this command says.
func said(r *job.Ran) string {
	if r == nil {
		return ""
	}
	out := ""
	if r.Cut > 0 {
		out = fmt.Sprintf("  | (%s before this are not kept)\n", job.Bytes(r.Cut))
	}
	for line := range strings.Lines(job.Readable(r.Output)) {
		out += "  | " + strings.TrimSuffix(line, "\n") + "\n"
	}
	return out
}
