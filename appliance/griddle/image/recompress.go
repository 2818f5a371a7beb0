package image

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/imagestore"
)

func recompressCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var out cli.Output
	o := imagestore.RecompressOptions{}
	c := &cobra.Command{
		Use:   "recompress [IMAGE...]",
		Short: "Make images smaller to fetch, at zstd's level 19",
		Long: "Encode images, or all that there are, at zstd's level 19 with a long window. Deltas are encoded a second time with the\n" +
			"parent's files as dictionaries, for machines that hold the parent. The images stay what they are, signatures\n" +
			"included; who fetches one at the moment goes on undisturbed. A server does it by itself, in the background; over --server\n" +
			"this command does the work here, and leaves the dictionaries to the server, which has the trees. What is damaged does not\n" +
			"stop the rest.",
		Example: "  griddle image recompress web:latest\n  griddle image recompress",
		Args:    cobra.ArbitraryArgs,
	}
	store.Add(c)
	out.Add(c)
	c.Flags().IntVar(&o.Level, "level", 19, "zstd's `LEVEL`, 10 to 19")
	c.RunE = func(c *cobra.Command, args []string) error {
		for _, a := range args {
			ref, err := parseRef(a)
			if err != nil {
				return err
			}
			o.Refs = append(o.Refs, ref)
		}
		if o.Level < 10 || o.Level > 19 {
			return cli.Usagef("level %d is not between 10 and 19", o.Level)
		}
		st, err := cli.OpenStore(e, store, false)
		if err != nil {
			return err
		}
		done := func() {}
		if !out.JSON() {
			o.Progress, done = cli.Phases(e)
		}
		all := []imagestore.Recompressed{}
		err = st.Recompress(c.Context(), o, func(r imagestore.Recompressed) { all = append(all, r) })
		done()
		if errors.Is(err, imagestore.ErrNoProgram) {
			return cli.WithHint(err, "apt-get install zstd")
		}
		err = cli.ExplainTree(err, st)
		// What was done before or beside a failure is done, and shown.
		if out.JSON() {
			return errors.Join(cli.WriteJSON(e.Stdout, all), err)
		}
		for _, r := range all {
			from := "whole"
			if r.Parent != "" {
				from = "from " + r.Parent
			}
			also := ""
			if r.Dictionary > 0 {
				also = fmt.Sprintf(", or %s with the parent's files", job.Bytes(r.Dictionary))
			}
			if _, err := fmt.Fprintf(e.Stdout, "%s %s: %s to fetch, %s before%s\n", r.Ref, from, job.Bytes(r.After), job.Bytes(r.Before), also); err != nil {
				return err
			}
		}
		if len(all) == 0 && err == nil {
			_, err = fmt.Fprintln(e.Stdout, "All of it is as small as that already.")
		}
		return err
	}
	return c
}
