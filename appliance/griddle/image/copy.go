package image

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/imagestore"
	"griddle/imagestore/head"
	"griddle/imagestore/ref"
)

const whereHelp = "A store is a local directory, an appliance at https://HOST:8443 or, to read from, http://HOST:8080, or a directory on\n" +
	"another host with griddle: ssh://[USER@]HOST[:PORT]/DIR, by the ssh program or the command in GRIDDLE_SSH."

func pullCommand(e *cli.Env) *cobra.Command {
	var f copyFlags
	c := &cobra.Command{
		Use:   "pull IMAGE... --from STORE",
		Short: "Fetch images from another store",
		Long: "Fetch images from another store, with all deltas between them: only what is missing, several blobs at once. IMAGE is a\n" +
			"name, whose newest version is meant where it has none, or a filter such as 'web:*'. What broke off goes on where it was\n" +
			"when the command is repeated. Every byte is verified, and the keys that signed must be trusted here. Reading needs no\n" +
			"token, but from a server whose images are private: give --from-token-file and --ca.\n\n" + whereHelp,
		Example: "  griddle image pull 'web:*' --from https://10.0.0.1:8443 --ca ca.pem\n  griddle image pull web:stable --channels --from /mnt/usb/store",
		Args:    cobra.MinimumNArgs(1),
	}
	f.add(c, "from", "fetch from this `STORE`")
	c.RunE = func(c *cobra.Command, args []string) error {
		from, close, err := openOther(c.Context(), e, f, false)
		if err != nil {
			return err
		}
		defer close()
		to, err := cli.OpenStore(e, f.store, true)
		if err != nil {
			return err
		}
		return f.copy(c.Context(), e, to, from, args)
	}
	return c
}

func pushCommand(e *cli.Env) *cobra.Command {
	var f copyFlags
	c := &cobra.Command{
		Use:   "push IMAGE... --to STORE",
		Short: "Bring images to another store",
		Long: "Bring images to another store, as `griddle image pull` there would fetch them. An appliance asks for its\n" +
			"administrator's token.\n\n" + whereHelp,
		Example: "  griddle image push web --to https://10.0.0.1:8443 --ca ca.pem --token-file token\n  griddle image push 'web:*' '*/*' --to /mnt/usb/store",
		Args:    cobra.MinimumNArgs(1),
	}
	f.add(c, "to", "bring them to this `STORE`")
	c.RunE = func(c *cobra.Command, args []string) error {
		from, err := cli.OpenStore(e, f.store, false)
		if err != nil {
			return err
		}
		to, close, err := openOther(c.Context(), e, f, true)
		if err != nil {
			return err
		}
		defer close()
		return f.copy(c.Context(), e, to, from, args)
	}
	return c
}

// copyFlags are those of a copy between the command's own store and another.
type copyFlags struct {
	store    cli.StoreFlags
	out      cli.Output
	other    string
	pulls    bool // other is the source
	jobs     int
	channels bool
	unsigned bool

	fromToken string // file of a token of the other store; never the one of the command's own server
}

func (f *copyFlags) add(c *cobra.Command, flag, usage string) {
	f.store.Add(c)
	f.out.Add(c)
	f.pulls = flag == "from"
	c.Flags().StringVar(&f.other, flag, "", usage)
	c.Flags().IntVarP(&f.jobs, "jobs", "j", 4, "how many blobs to fetch at once")
	c.Flags().BoolVar(&f.channels, "channels", false, "also set the channels that mean the copied versions")
	if f.pulls {
		c.Flags().StringVar(&f.fromToken, "from-token-file", "", "`FILE` with a token of the server that is fetched from, where its images are private")
		c.Flags().BoolVar(&f.unsigned, "unsigned", false, "also from a server that signs no catalog, although signed ones of other servers were seen")
	}
	check := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if f.other == "" {
			return cli.Usagef("--%s must say which store", flag)
		}
		return check(c, args)
	}
}

func (f *copyFlags) copy(ctx context.Context, e *cli.Env, to, from *imagestore.Store, images []string) error {
	for _, i := range images {
		if _, err := ref.ParseFilter(i); err != nil {
			return cli.Usage(err)
		}
	}
	seen, err := cli.SeenDir(e)
	if err != nil {
		return err
	}
	o := imagestore.CopyOptions{Images: images, Jobs: f.jobs, Channels: f.channels, Seen: seen, Unsigned: f.unsigned}
	if strings.HasPrefix(f.other, "ssh://") && f.pulls {
		o.From = f.other
	}
	var bar *cli.Progress
	if !f.out.JSON() {
		bar = cli.NewProgress(e.Stderr, "copying")
		o.Progress = bar.Update
	}
	done, err := to.Copy(ctx, from, o)
	bar.End()
	switch {
	case f.out.JSON():
		err = errors.Join(err, cli.WriteJSON(e.Stdout, done))
	case err == nil || len(done.Images) > 0:
		err = errors.Join(err, showCopied(e, done))
	}
	receiving := f.other
	if f.pulls {
		receiving = f.store.Where(e)
	}
	return explainCopy(err, receiving)
}

func showCopied(e *cli.Env, d imagestore.Copied) error {
	for _, s := range d.Skipped {
		fmt.Fprintf(e.Stderr, "%s was deleted there, and does not come back\n", s)
	}
	for _, i := range d.Images {
		what := "copied"
		if !i.New {
			what = "was there, has more streams now"
		}
		if _, err := fmt.Fprintf(e.Stdout, "%s %s\n", i.Ref, what); err != nil {
			return err
		}
	}
	for _, c := range d.Channels {
		if _, err := fmt.Fprintf(e.Stdout, "%s:%s is %s now\n", c.Template, c.Name, c.Version); err != nil {
			return err
		}
	}
	resumed := ""
	if d.Resumed > 0 {
		resumed = fmt.Sprintf(", and %s were there from an earlier attempt", job.Bytes(d.Resumed))
	}
	_, err := fmt.Fprintf(e.Stdout, "%d images, %s copied%s\n", len(d.Images), job.Bytes(d.Bytes), resumed)
	return err
}

// explainCopy says what to do about the errors of a copy into the store to.
func explainCopy(err error, to string) error {
	var untrusted *imagestore.UntrustedError
	switch {
	case errors.As(err, &untrusted):
		key := "RWS..."
		if untrusted.Line != "" {
			key = untrusted.Line
		}
		return cli.WithHint(err, "If you know that key %s is the publisher's: `griddle key trust %s` in the receiving store, and again.", untrusted.Key, key)
	case errors.Is(err, head.ErrUnsigned):
		return cli.WithHint(err, "Every server of this version signs: was the head taken away on the way, or is it an old copy? Only if the server is known to sign none: --unsigned.")
	case cli.NoRoom(err):
		return cli.WithHint(err, cli.StoreFull, to)
	case errors.Is(err, context.Canceled):
		return cli.WithHint(err, "What came is kept: the same command goes on there.")
	}
	return cli.ExplainRemote(err)
}
