package machine

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/job"
)

func (m *machines) recoveryKeyCommand() *cobra.Command {
	var in api.ReadRecovery
	c := &cobra.Command{
		Use:   "recovery-key MACHINE",
		Short: "Show what opens a machine's encrypted disks where nothing else does",
		Long: "Show the recovery keys of a machine, the newest first. They open the partitions whose layout has\n" +
			"`recovery` in `unlock`: type one, with its hyphens, where the machine asks for a passphrase, or give\n" +
			"it to `cryptsetup open` on another computer. An earlier key is for partitions that later installs\n" +
			"kept. The log of the machine says that its keys were read.\n\n" +
			"With --renew, the next install that makes such partitions gives them another key. The partitions that\n" +
			"exist keep theirs.",
		Example: "  griddle machine recovery-key node7\n  griddle machine recovery-key node7 --renew",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: m.one(),
		RunE: m.with(func(ctx context.Context, client *api.Client, args []string) error {
			got, err := client.Recovery(ctx, args[0], in)
			if err != nil {
				return err
			}
			return m.e.Print(got, func(w io.Writer) error { return recoveryOf(w, got) })
		}),
	}
	c.Flags().BoolVar(&in.Renew, "renew", false, "have the next install give new partitions another key")
	return c
}

// recoveryOf writes recovery keys, each in a line of its own, so that a double click takes it.
func recoveryOf(w io.Writer, got api.Recovery) error {
	for i, k := range got.Keys {
		until := ""
		if k.Renew {
			until = ", no more for new partitions"
		}
		if i > 0 {
			fmt.Fprintln(w)
		}
		if _, err := fmt.Fprintf(w, "%s\n  made %s, last for job %s%s\n", k.Key, seen(k.Made), k.Job,
			until); err != nil {
			return err
		}
	}
	for i, p := range got.Encrypted {
		if i == 0 {
			fmt.Fprint(w, "\nencrypted partitions, as the machine reported its disks last:\n")
		}
		if _, err := fmt.Fprintf(w, "  partition %d of %s: %s, volume %s\n", p.Number, job.Sentence(p.Disk),
			or(job.Printable(p.Label), "no label"), job.Printable(p.UUID)); err != nil {
			return err
		}
	}
	return nil
}

// keysWait says what an operator has to do for a machine whose disks get a recovery key.
func keysWait(machine string) string {
	return fmt.Sprintf("Its disks get a recovery key. Before it writes to a disk, the machine shows a code and waits "+
		"for\n`griddle machine approve %s CODE`, unless it proves a key that was approved before.\n", machine)
}
