package image

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/imagestore"
	"griddle/imagestore/catalog"
	"griddle/imagestore/ref"
)

// channelCommand is `griddle image channel`.
func channelCommand(e *cli.Env) *cobra.Command {
	return cli.Group("channel", "List, set and delete channels: names for versions",
		"List, set and delete channels. A channel is a name for a version that you can move to another one,\n"+
			"such as web:stable. You can use it wherever an image is named. A job keeps the version that the\n"+
			"channel meant when the job was made.",
		channelListCommand(e),
		channelSetCommand(e),
		channelDeleteCommand(e),
	)
}

var channelColumns = []cli.Column[imagestore.ListedChannel]{
	{Name: "channel", Text: func(ch imagestore.ListedChannel) string { return ch.Template + ":" + ch.Name }},
	{Name: "version", Text: func(ch imagestore.ListedChannel) string { return ch.Version }},
	{Name: "images", Text: func(ch imagestore.ListedChannel) string {
		if len(ch.Images) == 0 {
			return "NONE: the version was deleted"
		}
		return strings.Join(ch.Images, ", ")
	}, Raw: func(ch imagestore.ListedChannel) string { return strings.Join(ch.Images, " ") },
		Tone: func(ch imagestore.ListedChannel) cli.Tone {
			if len(ch.Images) == 0 {
				return cli.Bad
			}
			return cli.Plain
		}},
}

func channelListCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	list := cli.List[imagestore.ListedChannel]{Columns: channelColumns}
	c := &cobra.Command{
		Use: "list [NAME...]", Aliases: []string{"ls"},
		Short:   "List channels",
		Long:    "List channels. NAME chooses templates or channels; in it * stands for any characters.",
		Example: "  griddle image channel list\n  griddle image channel list 'web*' -o json",
		Args:    cobra.ArbitraryArgs, ValidArgsFunction: cli.Each(cli.Channels(e, &store)),
	}
	store.Add(c)
	list.Flags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		for _, f := range args {
			if _, err := ref.ParseFilter(f); err != nil {
				return cli.Usage(err)
			}
		}
		st, err := cli.OpenStore(e, store, false)
		if err != nil {
			return err
		}
		all, err := st.Channels(c.Context(), args...)
		if err != nil {
			return err
		}
		return list.Print(e, all)
	}
	return c
}

// parseChannel reads NAME:CHANNEL.
func parseChannel(arg string) (catalog.Channel, error) {
	ref, err := parseRef(arg)
	if err != nil {
		return catalog.Channel{}, err
	}
	if ref.Version == "" || ref.Arch != "" {
		return catalog.Channel{}, cli.Usagef("%q is not of the form NAME:CHANNEL", arg)
	}
	return catalog.Channel{Template: ref.Template(), Name: ref.Version}, nil
}

func channelSetCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	c := &cobra.Command{
		Use:   "set NAME:CHANNEL VERSION",
		Short: "Make a channel mean a version",
		Long: "Make a channel mean a version, from now on. The channel is created if it does not exist. VERSION can\n" +
			"be latest: the newest one now.",
		Example: "  griddle image channel set web:stable 20261121.1\n  griddle image channel set web:testing latest",
		Args:    cobra.ExactArgs(2), ValidArgsFunction: cli.Arguments(cli.Channels(e, &store), cli.Words("latest")),
	}
	store.Add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		ch, err := parseChannel(args[0])
		if err != nil {
			return err
		}
		st, err := cli.OpenStore(e, store, false)
		if err != nil {
			return err
		}
		if ch, err = setChannel(c, st, ch, args[1]); err != nil {
			return err
		}
		return e.Print(ch, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%s now means %s:%s\n", args[0], ch.Template, ch.Version)
			return err
		})
	}
	return c
}

func setChannel(c *cobra.Command, st *imagestore.Store, ch catalog.Channel, version string) (catalog.Channel,
	error) {
	r, err := parseRef(ch.Template + ":" + version)
	if err != nil {
		return ch, err
	}
	ch.Version = r.Version
	if r.Version == ref.Latest {
		list, err := st.List(c.Context(), ch.Template)
		if err != nil {
			return ch, err
		}
		if len(list) == 0 {
			return ch, fmt.Errorf("setting channel %s:%s: %w: %s", ch.Template, ch.Name, catalog.ErrNotFound,
				ch.Template)
		}
		ch.Version = list[0].Version
	}
	err = st.SetChannel(c.Context(), ch)
	if errors.Is(err, catalog.ErrNotFound) {
		err = cli.WithHint(err, "`griddle image list '%s'` shows the versions.", ch.Template)
	}
	return ch, err
}

func channelDeleteCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	c := &cobra.Command{
		Use: "delete NAME:CHANNEL", Aliases: []string{"rm"},
		Short:   "Delete a channel; its version stays",
		Example: "  griddle image channel delete web:testing",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cli.Arguments(cli.Channels(e, &store)),
	}
	store.Add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		ch, err := parseChannel(args[0])
		if err != nil {
			return err
		}
		st, err := cli.OpenStore(e, store, false)
		if err != nil {
			return err
		}
		if err := st.RemoveChannel(c.Context(), ch.Template, ch.Name); err != nil {
			return err
		}
		return e.Printf(ch, "channel %s is deleted", args[0])
	}
	return c
}
