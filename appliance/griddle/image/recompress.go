package image

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/imagestore"
)

func recompressCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	o := imagestore.RecompressOptions{}
	c := &cobra.Command{
		Use:   "recompress [IMAGE...]",
		Short: "Compress images better, so that there is less to fetch",
		Long: "Compress images, or all images of the store, at zstd's level 19 with a long window. Deltas get a\n" +
			"second encoding with the parent's files as dictionaries, for machines that have the parent. Images\n" +
			"and signatures do not change, and downloads in progress continue.\n\n" +
			"A server does this by itself, in the background. With --server this command does the work on this\n" +
			"computer, but leaves the dictionaries to the server, which has the trees. A damaged image does not\n" +
			"stop the others.",
		Example: "  griddle image recompress web:latest\n  griddle image recompress",
		Args:    cobra.ArbitraryArgs, ValidArgsFunction: cli.Each(cli.Images(e, &store)),
	}
	store.Add(c)
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
		bar := e.Phases()
		o.Progress = bar.Update
		all := []imagestore.Recompressed{}
		err = st.Recompress(c.Context(), o, func(r imagestore.Recompressed) { all = append(all, r) })
		bar.End()
		if errors.Is(err, imagestore.ErrNoProgram) {
			return cli.WithHint(err, "apt-get install zstd")
		}
		err = cli.ExplainTree(err, st)
		// What was done before or beside a failure is done, and shown.
		return errors.Join(e.Print(all, func(w io.Writer) error { return showRecompressed(w, all, err == nil) }), err)
	}
	return c
}

func showRecompressed(w io.Writer, all []imagestore.Recompressed, whole bool) error {
	for _, r := range all {
		which := "full stream"
		if r.Parent != "" {
			which = "delta from " + r.Parent
		}
		also := ""
		if r.Dictionary > 0 {
			also = fmt.Sprintf(", or %s with the parent's files", job.Bytes(r.Dictionary))
		}
		if _, err := fmt.Fprintf(w, "%s %s: %s to fetch, %s before%s\n", r.Ref, which, job.Bytes(r.After),
			job.Bytes(r.Before), also); err != nil {
			return err
		}
	}
	if len(all) == 0 && whole {
		_, err := fmt.Fprintln(w, "All images are compressed that way already.")
		return err
	}
	return nil
}
