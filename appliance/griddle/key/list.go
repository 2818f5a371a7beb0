package key

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/imagestore"
)

func listCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var out cli.Output
	c := &cobra.Command{
		Use:   "list",
		Short: "List the keys that a store trusts, and those that it revoked",
		Args:  cobra.NoArgs,
	}
	store.Add(c)
	out.Add(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		st, err := cli.OpenStore(e, store, false)
		if err != nil {
			return err
		}
		keys, err := st.Keys(c.Context())
		if err != nil {
			return err
		}
		if out.JSON() {
			return cli.WriteJSON(e.Stdout, keys)
		}
		var rows [][]string
		for _, k := range keys {
			since := k.Since.Format(time.DateOnly)
			if k.Revoked != nil {
				since = "revoked " + k.Revoked.Format(time.DateOnly)
			}
			rows = append(rows, []string{k.ID, maySign(k), since, fmt.Sprint(k.Images), job.Sentence(k.Comment)})
		}
		return cli.WriteTable(e.Stdout, []string{"KEY", "MAY SIGN", "TRUSTED SINCE", "IMAGES", "COMMENT"}, rows)
	}
	return c
}

// maySign says for people what a key's signatures count for.
func maySign(k imagestore.ListedKey) string {
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
