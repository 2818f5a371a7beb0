package machine

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

func (m *machines) eraseCommand() *cobra.Command {
	var in api.Erase
	var confirm string
	c := &cobra.Command{
		Use:   "erase MACHINE --disk NAME",
		Short: "Erase a disk, so that its data cannot be read again",
		Long: "Erase one disk of a machine at its next boot from the network. Its data cannot be read again, and " +
			"the\n" +
			"machine reports a certificate, which `griddle machine show` shows.\n\n" +
			"NAME is the serial number or the WWN of the disk. A path such as /dev/sda is only taken for a disk " +
			"that\n" +
			"has neither. The command shows what the disk has, and asks you to type NAME again; --confirm NAME is\n" +
			"the same without a question.\n\n" +
			"--level says what must be reached, in the words of NIST SP 800-88. Without it, the machine does the\n" +
			"strongest that the disk can do.\n" +
			"  purge    by a command of the disk itself, which also reaches hidden areas; a disk without such a\n" +
			"           command is refused\n" +
			"  clear    the machine overwrites the disk with zeros, and reads all of it back\n" +
			"  discard  the disk is asked to forget its data, and must read as zeros; it may still have them " +
			"inside\n\n" +
			"A disk that is in use is refused. An erase that a power cut interrupts continues at the next boot.",
		Example: "  griddle machine erase node7 --disk S4X1\n" +
			"  griddle machine erase node7 --disk S4X1 --level purge --confirm S4X1\n" +
			"  griddle machine show node7 -o json",
		Args: cobra.ExactArgs(1), ValidArgsFunction: m.one(),
	}
	run := m.with(func(ctx context.Context, client *api.Client, args []string) error {
		known, err := client.Machine(ctx, args[0])
		if err != nil {
			return err
		}
		if known.Inventory == nil || len(known.Inventory.Disks) == 0 {
			return cli.WithHint(fmt.Errorf("erasing disk %s of %s: the server does not know the disks of this machine",
				job.Sentence(in.Disk), known.Name), "Start the machine from the network once, so that it reports them.")
		}
		d, err := job.PickErase(in.Disk, known.Inventory.Disks)
		if err != nil {
			return err
		}
		if err := m.confirmErase(known, d, in, confirm); err != nil {
			return err
		}
		got, err := client.Erase(ctx, args[0], in)
		if err != nil {
			return err
		}
		return m.e.Print(got, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%s erases disk %s. Switch it on, or restart it, with network boot first.\n",
				got.Name, job.Sentence(got.Job.Spec.Erase))
			return err
		})
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		if in.Disk == "" {
			return cli.Usagef("--disk is required")
		}
		if _, err := job.ParseEraseLevel(in.Level); err != nil {
			return cli.Usage(err)
		}
		return run(c, args)
	}
	c.Flags().StringVar(&in.Disk, "disk", "", "`SERIAL|WWN` of the one disk to erase")
	c.Flags().StringVar(&in.Level, "level", "", "what must be reached: `purge|clear|discard`")
	c.Flags().StringVar(&confirm, "confirm", "", "`NAME` of the disk again, instead of a question")
	c.Flags().BoolVar(&in.Replace, "replace", false, "cancel the job that waits or runs on the machine, in the "+
		"same step")
	cli.CompleteFlag(c, "level", cli.Words("purge", "clear", "discard"))
	return c
}

// confirmErase shows what will be lost, and has the name of the disk typed again.
func (m *machines) confirmErase(of api.Machine, d job.Disk, in api.Erase, typed string) error {
	doing := fmt.Sprintf("erasing disk %s of %s", job.Sentence(in.Disk), of.Name)
	if typed == "" {
		f, ok := m.e.Stdin.(*os.File)
		if !ok || !term.IsTerminal(int(f.Fd())) {
			return cli.WithHint(cli.Usagef("%s: this asks for the name of the disk, and standard input is not a "+
				"terminal",
				doing), "Give --confirm %s to do it without a question.", job.Sentence(in.Disk))
		}
		fmt.Fprintf(m.e.Stderr, "On %s, disk %s will be erased. It has:\n", of.Name, d)
		holds := d.Holds()
		if len(holds) == 0 {
			holds = []string{"nothing: it is blank"}
		}
		for _, h := range holds {
			fmt.Fprintf(m.e.Stderr, "  %s\n", h)
		}
		fmt.Fprintf(m.e.Stderr, "None of it can be recovered. Type %s to erase the disk: ", job.Sentence(in.Disk))
		line, err := bufio.NewReader(f).ReadString('\n')
		if err != nil && line == "" {
			fmt.Fprintln(m.e.Stderr)
		}
		typed = strings.TrimSpace(line)
	}
	if strings.TrimSpace(in.Disk) != strings.TrimSpace(typed) {
		return fmt.Errorf("%s: %q is not the name of the disk; cancelled, nothing was changed", doing,
			job.Sentence(typed))
	}
	return nil
}

// certificateLines are what an erase did to its disk.
func certificateLines(line func(name, value string), c *job.Certificate) {
	if c == nil {
		return
	}
	line("", "  "+c.String())
	line("", "  It had: "+or(job.Sentence(c.Held), "nothing"))
	if v := c.Verified; v.Way != "" {
		text := fmt.Sprintf("  Read back: %s", job.Bytes(v.Bytes))
		if v.Way == job.EraseReadSamples {
			text += fmt.Sprintf(" in places across the disk, of which %s had data before and %s have them still",
				job.Bytes(v.Data), job.Bytes(v.Same))
		}
		if v.Zeros {
			text += "; all zeros"
		}
		if v.Unreadable > 0 {
			text += fmt.Sprintf("; %s could not be read", job.Bytes(v.Unreadable))
		}
		line("", text)
	}
	for _, n := range c.Notes {
		line("", "  "+job.Sentence(n))
	}
	if c.Result == job.Erased && !c.Approved {
		line("", "  No operator had approved the key of the machine that reported this.")
	}
}
