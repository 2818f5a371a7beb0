package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/imagestore"
	"griddle/imagestore/head"
	"griddle/imagestore/mirror"
	"griddle/imagestore/ref"
)

const whereHelp = "STORE is a local directory, a server at https://HOST:8443 (or http://HOST:8080, to read " +
	"only), or a directory on another\n" +
	"host that has griddle: ssh://[USER@]HOST[:PORT]/DIR. GRIDDLE_SSH names another command than ssh."

func pullCommand(e *cli.Env) *cobra.Command {
	var f copyFlags
	c := &cobra.Command{
		Use:   "pull IMAGE... --from STORE",
		Short: "Fetch images from another store",
		Long: "Fetch images from another store, with all deltas between them: only what is missing, several blobs\n" +
			"at once. IMAGE is a name, without a version for the newest one, or a pattern such as 'web:*'. If the\n" +
			"command is interrupted, run it again to resume. Every byte is verified, and this store must trust\n" +
			"the keys that signed. A token is only needed for a server whose images are private: give\n" +
			"--from-token-file and --ca.\n\n" + whereHelp,
		Example: "  griddle image pull 'web:*' --from https://10.0.0.1:8443 --ca ca.pem\n" +
			"  griddle image pull web:stable --channels --from /mnt/usb/store",
		Args: cobra.MinimumNArgs(1),
	}
	f.add(e, c, "from", "fetch from this `STORE`")
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
		Short: "Send images to another store",
		Long: "Send images to another store, as `griddle image pull` there would fetch them. A server requires\n" +
			"its administrator's token.\n\n" + whereHelp,
		Example: "  griddle image push web --to https://10.0.0.1:8443 --ca ca.pem --token-file token\n" +
			"  griddle image push 'web:*' '*/*' --to /mnt/usb/store",
		Args: cobra.MinimumNArgs(1),
	}
	f.add(e, c, "to", "send to this `STORE`")
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
	other    string
	pulls    bool // other is the source
	jobs     int
	channels bool
	unsigned bool

	fromToken string // file of a token of the other store; never the one of the command's own server
}

func (f *copyFlags) add(e *cli.Env, c *cobra.Command, flag, usage string) {
	f.store.Add(c)
	f.pulls = flag == "from"
	c.Flags().StringVar(&f.other, flag, "", usage)
	c.Flags().IntVarP(&f.jobs, "jobs", "j", 4, "copy this `NUMBER` of blobs at the same time")
	c.Flags().BoolVar(&f.channels, "channels", false, "also copy the channels that mean these versions")
	if f.pulls {
		c.Flags().StringVar(&f.fromToken, "from-token-file", "", "`FILE` with a token of the other server, if its "+
			"images are private")
		c.Flags().BoolVar(&f.unsigned, "unsigned", false, "accept a server that does not sign its catalog, "+
			"although signed catalogs were seen")
	}
	c.ValidArgsFunction = cli.Each(cli.Images(e, &f.store))
	c.PreRunE = func(*cobra.Command, []string) error {
		if f.other == "" {
			return cli.Usagef("--%s is required", flag)
		}
		return nil
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
	o := mirror.Options{Images: images, Jobs: f.jobs, Channels: f.channels, Seen: seen, Unsigned: f.unsigned}
	if strings.HasPrefix(f.other, "ssh://") && f.pulls {
		o.From = f.other
	}
	bar := e.Progress("copying")
	o.Progress = bar.Update
	done, err := mirror.Copy(ctx, to, from, o)
	bar.End()
	if err == nil || len(done.Images) > 0 || !e.ForPeople() {
		err = errors.Join(err, e.Print(done, func(w io.Writer) error { return showCopied(e, w, done) }))
	}
	receiving := f.other
	if f.pulls {
		receiving = f.store.Where(e)
	}
	return explainCopy(err, receiving)
}

func showCopied(e *cli.Env, w io.Writer, d mirror.Copied) error {
	for _, s := range d.Skipped {
		e.Say(fmt.Sprintf("%s was deleted from the receiving store before, and is not copied", s))
	}
	for _, i := range d.Images {
		what := "copied"
		if !i.New {
			what = "existed, and has more streams now"
		}
		if _, err := fmt.Fprintf(w, "%s %s\n", i.Ref, what); err != nil {
			return err
		}
	}
	for _, c := range d.Channels {
		if _, err := fmt.Fprintf(w, "%s:%s now means %s\n", c.Template, c.Name, c.Version); err != nil {
			return err
		}
	}
	resumed := ""
	if d.Resumed > 0 {
		resumed = fmt.Sprintf(", and %s are from an earlier attempt", job.Bytes(d.Resumed))
	}
	_, err := fmt.Fprintf(w, "%d images, %s copied%s\n", len(d.Images), job.Bytes(d.Bytes), resumed)
	return err
}

// explainCopy says what to do about the errors of a copy into the store to.
func explainCopy(err error, to string) error {
	var untrusted *mirror.UntrustedError
	switch {
	case errors.As(err, &untrusted):
		key := "RWS..."
		if untrusted.Line != "" {
			key = untrusted.Line
		}
		return cli.WithHint(err, "If key %s is the publisher's, trust it with `griddle key trust %s` in the "+
			"receiving store, and run this again.", untrusted.Key, key)
	case errors.Is(err, head.ErrUnsigned):
		return cli.WithHint(err, "Every server of this version signs its catalog. The signature was removed on the "+
			"way, or this is an old copy. Add --unsigned only if you know that the server does not sign.")
	case cli.NoRoom(err):
		return cli.WithHint(err, cli.StoreFull, to)
	case errors.Is(err, context.Canceled):
		return cli.WithHint(err, "What was copied is kept. Run it again to resume.")
	}
	return cli.ExplainRemote(err)
}
