package image

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/imagestore"
	"griddle/imagestore/ref"
)

func channelCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var out cli.Output
	var remove bool
	c := &cobra.Command{
		Use:   "channel [NAME:CHANNEL VERSION]",
		Short: "List channels, or make one mean a version: a name that moves",
		Long: "List channels, or make one mean a version. Wherever an image is named a channel can stand for a version: web:stable.\n" +
			"Jobs that were ordered keep the version that it meant then. VERSION can be latest: the newest one now.",
		Example: "  griddle image channel\n  griddle image channel 'web*'\n  griddle image channel web:stable 20261121.1\n  griddle image channel web:stable --remove",
		Args:    cobra.MaximumNArgs(2),
	}
	store.Add(c)
	out.Add(c)
	c.Flags().BoolVar(&remove, "remove", false, "remove the channel; its version stays")
	c.RunE = func(c *cobra.Command, args []string) error {
		if remove && len(args) != 1 {
			return cli.Usagef("--remove needs NAME:CHANNEL and nothing else")
		}
		if len(args) < 2 && !remove {
			return listChannels(c, e, store, out, args)
		}
		ref, err := parseRef(args[0])
		if err != nil {
			return err
		}
		if ref.Version == "" || ref.Arch != "" {
			return cli.Usagef("%q is not NAME:CHANNEL", args[0])
		}
		st, err := cli.OpenStore(e, store, false)
		if err != nil {
			return err
		}
		ch := imagestore.Channel{Template: ref.Template(), Name: ref.Version}
		if remove {
			if err := st.RemoveChannel(c.Context(), ch.Template, ch.Name); err != nil {
				return err
			}
		} else if ch, err = setChannel(c, st, ch, args[1]); err != nil {
			return err
		}
		if out.JSON() {
			return cli.WriteJSON(e.Stdout, ch)
		}
		if remove {
			_, err = fmt.Fprintf(e.Stdout, "%s removed\n", ref)
		} else {
			_, err = fmt.Fprintf(e.Stdout, "%s now means %s:%s\n", ref, ch.Template, ch.Version)
		}
		return err
	}
	return c
}

func setChannel(c *cobra.Command, st *imagestore.Store, ch imagestore.Channel, version string) (imagestore.Channel, error) {
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
			return ch, fmt.Errorf("setting channel %s:%s: %w: %s", ch.Template, ch.Name, imagestore.ErrNotFound, ch.Template)
		}
		ch.Version = list[0].Version
	}
	err = st.SetChannel(c.Context(), ch)
	if errors.Is(err, imagestore.ErrNotFound) {
		err = cli.WithHint(err, "griddle image list '%s' shows the versions.", ch.Template)
	}
	return ch, err
}

func listChannels(c *cobra.Command, e *cli.Env, store cli.StoreFlags, out cli.Output, filters []string) error {
	for _, f := range filters {
		if _, err := ref.ParseFilter(f); err != nil {
			return cli.Usage(err)
		}
	}
	st, err := cli.OpenStore(e, store, false)
	if err != nil {
		return err
	}
	list, err := st.Channels(c.Context(), filters...)
	if err != nil {
		return err
	}
	if out.JSON() {
		return cli.WriteJSON(e.Stdout, list)
	}
	var rows [][]string
	for _, ch := range list {
		images := strings.Join(ch.Images, ", ")
		if images == "" {
			images = "THERE IS NO SUCH VERSION ANY MORE"
		}
		rows = append(rows, []string{ch.Template + ":" + ch.Name, ch.Version, images})
	}
	return cli.WriteTable(e.Stdout, []string{"CHANNEL", "VERSION", "IMAGES"}, rows)
}
