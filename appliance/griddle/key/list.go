package key

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/imagestore/catalog"
)

var listColumns = []cli.Column[catalog.ListedKey]{
	{Name: "key", Text: func(k catalog.ListedKey) string { return k.ID }},
	{Name: "may-sign", Text: maySign},
	{Name: "trusted", Text: func(k catalog.ListedKey) string {
		if k.Revoked != nil {
			return "revoked " + k.Revoked.Format(time.DateOnly)
		}
		return "since " + k.Since.Format(time.DateOnly)
	}, Tone: func(k catalog.ListedKey) cli.Tone {
		if k.Revoked != nil {
			return cli.Bad
		}
		return cli.Plain
	}},
	{Name: "images", Text: func(k catalog.ListedKey) string { return fmt.Sprint(k.Images) }},
	{Name: "comment", Text: func(k catalog.ListedKey) string { return job.Sentence(k.Comment) }},
}

func listCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	list := cli.List[catalog.ListedKey]{Columns: listColumns}
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short:   "List the keys that a store trusts or revoked",
		Example: "  griddle key list\n  griddle key list --filter 'trusted=revoked*' -q",
		Args:    cobra.NoArgs,
	}
	store.Add(c)
	list.Flags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		st, err := cli.OpenStore(e, store, false)
		if err != nil {
			return err
		}
		keys, err := st.Keys(c.Context())
		if err != nil {
			return err
		}
		return list.Print(e, keys)
	}
	return c
}

// maySign says what a key's signatures are trusted for.
func maySign(k catalog.ListedKey) string {
	switch {
	case k.Revoked != nil:
		return "nothing"
	case k.Site:
		return "streams, the catalog"
	case k.Streams:
		return "streams"
	case len(k.Prefixes) > 0:
		return strings.Join(k.Prefixes, " ")
	}
	return "everything"
}
