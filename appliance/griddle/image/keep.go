package image

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/imagestore/catalog"
)

// keepCommand is `griddle image keep`.
func keepCommand(e *cli.Env) *cobra.Command {
	return cli.Group("keep", "List, set and delete the rules of which versions to keep",
		"List, set and delete the rules of which versions to keep. `griddle image gc` applies them, and a\n"+
			"server does so every day.\n\n"+
			"A version is kept if any rule for its template keeps it, if it is the newest of its architecture, or\n"+
			"if a channel means it. Of a template without a rule all versions are kept.",
		keepListCommand(e),
		keepSetCommand(e),
		keepDeleteCommand(e),
	)
}

var keepColumns = []cli.Column[catalog.Keep]{
	{Name: "templates", Text: func(k catalog.Keep) string { return k.Pattern }},
	{Name: "last", Text: func(k catalog.Keep) string {
		if k.Last == 0 {
			return "-"
		}
		return strconv.Itoa(k.Last)
	}},
	{Name: "newer", Text: func(k catalog.Keep) string {
		if k.Newer == 0 {
			return "-"
		}
		return formatAge(time.Duration(k.Newer) * time.Second)
	}},
}

func keepListCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	list := cli.List[catalog.Keep]{Columns: keepColumns}
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short:   "List the rules",
		Example: "  griddle image keep list",
		Args:    cobra.NoArgs,
	}
	store.Add(c)
	list.Flags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return printRules(c, e, store, &list)
	}
	return c
}

// printRules prints the rules of the store.
func printRules(c *cobra.Command, e *cli.Env, store cli.StoreFlags, list *cli.List[catalog.Keep]) error {
	st, err := cli.OpenStore(e, store, false)
	if err != nil {
		return err
	}
	rules, err := st.Keeps(c.Context())
	if err != nil {
		return err
	}
	return list.Print(e, rules)
}

func keepSetCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var last int
	var newer string
	c := &cobra.Command{
		Use:   "set PATTERN {--last N | --newer AGE}",
		Short: "Set the rule for some templates",
		Long: "Set the rule for the templates that PATTERN names, in which * stands for any characters, and " +
			"list all rules.",
		Example: "  griddle image keep set web --last 3 --newer 90d\n  griddle image keep set '*/*' --last 10",
		Args:    cobra.ExactArgs(1),
	}
	store.Add(c)
	c.Flags().IntVar(&last, "last", 0, "keep the newest `N` versions of each architecture")
	c.Flags().StringVar(&newer, "newer", "", "keep versions that were published within `AGE`, such as 90d or 36h")
	c.RunE = func(c *cobra.Command, args []string) error {
		k := catalog.Keep{Pattern: args[0], Last: last}
		if newer != "" {
			age, err := parseAge(newer)
			if err != nil {
				return err
			}
			k.Newer = int64(age / time.Second)
		}
		if last < 0 || last == 0 && k.Newer == 0 {
			return cli.WithHint(cli.Usagef("a rule needs --last with at least 1, --newer, or both"),
				"To delete a rule: `griddle image keep delete PATTERN`.")
		}
		return setRule(c, e, store, k)
	}
	return c
}

func setRule(c *cobra.Command, e *cli.Env, store cli.StoreFlags, k catalog.Keep) error {
	st, err := cli.OpenStore(e, store, false)
	if err != nil {
		return err
	}
	if err := st.SetKeep(c.Context(), k); err != nil {
		return err
	}
	return printRules(c, e, store, &cli.List[catalog.Keep]{Columns: keepColumns})
}

func keepDeleteCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	c := &cobra.Command{
		Use: "delete PATTERN", Aliases: []string{"rm"},
		Short:   "Delete the rule for some templates",
		Long:    "Delete the rule that was set for PATTERN, and list all rules.",
		Example: "  griddle image keep delete web",
		Args:    cobra.ExactArgs(1),
	}
	store.Add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return setRule(c, e, store, catalog.Keep{Pattern: args[0]})
	}
	return c
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
	return 0, cli.WithHint(cli.Usagef("%q is not an age", s), "Give it in days or hours: 90d, 36h.")
}

// formatAge writes what parseAge reads.
func formatAge(d time.Duration) string {
	if day := 24 * time.Hour; d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return d.String()
}
