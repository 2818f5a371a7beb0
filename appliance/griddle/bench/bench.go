// Package bench is `griddle bench`: it measures on this computer.
package bench

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/imagestore/multicast/trial"
)

// Command is `griddle bench`.
func Command(e *cli.Env) *cobra.Command {
	return cli.Group("bench", "Measure on this computer",
		"Measure on this computer, in network namespaces that exist only meanwhile. This needs root.",
		multicastCommand(e))
}

// benchChild is how the command starts itself as a sender or a receiver.
const benchChild = "child"

func multicastCommand(e *cli.Env) *cobra.Command {
	var o trial.Options
	var mbit, slow float64
	var size int64
	var tools []string
	c := &cobra.Command{
		Use:   "multicast",
		Short: "Measure multicast to virtual receivers over a lossy network",
		Long: "Send a file of random bytes by multicast to virtual receivers in network namespaces. Flags set what\n" +
			"their wires lose and delay. The result has the time, the share of the link that was used, the bytes\n" +
			"that were sent for each byte of the file, and the processor time. Every received file is compared\n" +
			"with what was sent.\n\n" +
			"--tool does the same with other programs on the same network: udpcast, uftp (apt-get install them)\n" +
			"and http.",
		Example: "  griddle bench multicast --receivers 8 --loss 5\n" +
			"  griddle bench multicast --receivers 4 --loss 1 --tool griddle,udpcast,uftp,http\n" +
			"  griddle bench multicast --receivers 4 --late 0.5\n" +
			"  griddle bench multicast --receivers 4 --slow 20",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Wire.Loss < 0 || o.Wire.Loss >= 100 || o.Wire.Duplicate < 0 || o.Wire.Duplicate > 100 || o.Late < 0 ||
				o.Late >= 1 || mbit < 1 || slow < 0 || size < 1 {
				return cli.Usagef("--loss is 0 to 99, --duplicate 0 to 100, --late 0 to 0.99, --link 1 or more, " +
					"--size 1 or more")
			}
			if os.Geteuid() != 0 {
				return cli.WithHint(fmt.Errorf("making network namespaces: %w", os.ErrPermission), "Run it as root.")
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			o.Child = []string{self, "bench", "multicast", benchChild}
			o.Wire.Loss, o.Wire.Duplicate = o.Wire.Loss/100, o.Wire.Duplicate/100
			o.Link, o.Slow, o.Size = int64(mbit*1e6), int64(slow*1e6), size<<20
			var all []trial.Result
			for _, o.Tool = range tools {
				r, err := trial.Run(c.Context(), o)
				if err != nil {
					return err
				}
				all = append(all, r)
			}
			if err := e.Print(all, func(w io.Writer) error { return benchTable(w, all) }); err != nil {
				return err
			}
			if slices.ContainsFunc(all, func(r trial.Result) bool {
				return r.Options.Tool == "griddle" &&
					!r.Whole()
			}) {
				return fmt.Errorf("not every receiver got the file")
			}
			return nil
		},
	}
	f := c.Flags()
	f.IntVarP(&o.Receivers, "receivers", "n", 4, "`NUMBER` of receivers")
	f.Int64Var(&size, "size", 100, "`MiB` of the file")
	f.Float64Var(&mbit, "link", 100, "the sender's link, `MBIT`/s")
	f.Float64Var(&o.Wire.Loss, "loss", 0, "`PERCENT` of packets that each receiver loses")
	f.IntVar(&o.Wire.Burst, "burst", 0, "`PACKETS` in a row that are lost in every --every")
	f.IntVar(&o.Wire.Every, "every", 4000, "`PACKETS` from one burst to the next")
	f.DurationVar(&o.Wire.Delay, "delay", 0, "delay of each packet")
	f.DurationVar(&o.Wire.Jitter, "jitter", 0, "more delay at random, which changes the order")
	f.Float64Var(&o.Wire.Duplicate, "duplicate", 0, "`PERCENT` of packets that arrive twice")
	f.Float64Var(&slow, "slow", 0, "`MBIT`/s of the last receiver's port")
	f.Float64Var(&o.Late, "late", 0, "start the last receiver after this part of the transfer time, 0 to 1")
	f.BoolVar(&o.Spool, "spool", true, "give Griddle's receivers a spool on the disk")
	f.DurationVar(&o.Limit, "limit", 5*time.Minute, "maximum duration of a run")
	f.StringSliceVar(&tools, "tool", []string{"griddle"}, "`TOOLS` to measure: griddle, udpcast, uftp and http")
	c.AddCommand(&cobra.Command{
		Use: benchChild, Hidden: true, Short: "One sender or receiver", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return trial.Child(c.Context(), e.Stdin, e.Stdout) },
	})
	return c
}

// benchTable prints a line for each tool, and one for each receiver that differs from the others.
func benchTable(out io.Writer, all []trial.Result) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "tool\treceivers\tloss\ttotal\tof ideal\tlink\tsent/file\tCPU sender\tCPU receiver\t")
	for _, r := range all {
		o := r.Options
		took := r.Total
		if r.Session > 0 {
			took = r.Session
		}
		verdict := ""
		if !r.Whole() {
			verdict = "INCOMPLETE"
		}
		fmt.Fprintf(w, "%s\t%d\t%g %%\t%.2f s\t%.2f\t%.0f %%\t%.3f\t%.2f s\t%.2f s\t%s\n",
			o.Tool, o.Receivers, o.Wire.Loss*100, took.Seconds(), float64(took)/float64(r.Ideal()),
			100*float64(o.Size)*8/took.Seconds()/float64(o.Link), r.Overhead(), r.Sender.Seconds(),
			r.Receiver.Seconds(), verdict)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range all {
		if r.Options.Slow == 0 && r.Options.Late == 0 && r.Whole() {
			continue
		}
		for i, x := range r.Each {
			took := x.Took
			if x.Data > 0 {
				took = x.Data
			}
			fmt.Fprintf(out, "%s, receiver %d: %.2f s  %s\n", r.Options.Tool, i+1, took.Seconds(),
				strings.TrimSpace(x.Way+"  "+x.Err))
		}
	}
	return nil
}
