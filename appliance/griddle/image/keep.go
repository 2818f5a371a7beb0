package image

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/imagestore"
)

func keepCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var out cli.Output
	var last int
	var newer string
	var none bool
	c := &cobra.Command{
		Use:   "keep [PATTERN (--last N | --newer AGE | --none)]",
		Short: "List or set the rules of which versions stay",
		Long: "List the rules of which versions stay, or set the one for the templates that PATTERN names, in which * stands for any\n" +
			"characters. A version stays if any rule for its template keeps it, if it is the newest of its architecture, or if a\n" +
			"channel means it. Templates without a rule keep everything. `griddle image gc` applies the rules, and an appliance does\n" +
			"every day.",
		Example: "  griddle image keep web --last 3 --newer 90d\n  griddle image keep '*/*' --last 10\n  griddle image keep web --none",
		Args:    cobra.MaximumNArgs(1),
	}
	store.Add(c)
	out.Add(c)
	c.Flags().IntVar(&last, "last", 0, "keep the newest `N` versions of each architecture")
	c.Flags().StringVar(&newer, "newer", "", "keep versions that were published within `AGE`, such as 90d or 36h")
	c.Flags().BoolVar(&none, "none", false, "take the rule back")
	c.RunE = func(c *cobra.Command, args []string) error {
		k := imagestore.Keep{Last: last}
		if newer != "" {
			age, err := parseAge(newer)
			if err != nil {
				return err
			}
			k.Newer = int64(age / time.Second)
		}
		sets := none || c.Flags().Changed("last") || newer != ""
		switch {
		case sets && len(args) == 0:
			return cli.Usagef("a rule needs the PATTERN that it is for")
		case !sets && len(args) > 0:
			return cli.Usagef("the rule for %q is not said: want --last, --newer or --none", args[0])
		case none && (last != 0 || newer != ""):
			return cli.Usagef("--none excludes --last and --newer")
		case sets && !none && (last < 0 || last == 0 && k.Newer == 0):
			return cli.WithHint(cli.Usagef("a rule that keeps nothing is none"), "To take it back: --none.")
		}
		st, err := cli.OpenStore(e, store, false)
		if err != nil {
			return err
		}
		if sets {
			k.Pattern = args[0]
			if err := st.SetKeep(c.Context(), k); err != nil {
				return err
			}
		}
		rules, err := st.Keeps(c.Context())
		if err != nil {
			return err
		}
		if out.JSON() {
			return cli.WriteJSON(e.Stdout, append([]imagestore.Keep{}, rules...))
		}
		return cli.WriteTable(e.Stdout, []string{"TEMPLATES", "LAST", "NEWER"}, keepRows(rules))
	}
	return c
}

func keepRows(rules []imagestore.Keep) (rows [][]string) {
	for _, r := range rules {
		last, newer := "-", "-"
		if r.Last > 0 {
			last = strconv.Itoa(r.Last)
		}
		if r.Newer > 0 {
			newer = formatAge(time.Duration(r.Newer) * time.Second)
		}
		rows = append(rows, []string{r.Pattern, last, newer})
	}
	return rows
}

// parseAge reads a positive duration, in days too.
func parseAge(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n <= 36500 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	} else if d, err := time.ParseDuration(s); err == nil && d >= time.Second {
		return d, nil
	}
	return 0, cli.WithHint(cli.Usagef("%q is no age", s), "Say it in days or hours: 90d, 36h.")
}

// formatAge writes what parseAge reads.
func formatAge(d time.Duration) string {
	if day := 24 * time.Hour; d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}
