package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/job"
	"griddle/imagestore"
	"griddle/imagestore/source"
)

func imageKeepCommand(e *env) *cobra.Command {
	var store storeFlags
	var out outputFlag
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
	store.add(c)
	out.add(c)
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
			return usagef("a rule needs the PATTERN that it is for")
		case !sets && len(args) > 0:
			return usagef("the rule for %q is not said: want --last, --newer or --none", args[0])
		case none && (last != 0 || newer != ""):
			return usagef("--none excludes --last and --newer")
		case sets && !none && (last < 0 || last == 0 && k.Newer == 0):
			return withHint(usagef("a rule that keeps nothing is none"), "To take it back: --none.")
		}
		st, err := openStore(e, store, false)
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
		if out.json() {
			return writeJSON(e.stdout, append([]imagestore.Keep{}, rules...))
		}
		return writeTable(e.stdout, []string{"TEMPLATES", "LAST", "NEWER"}, keepRows(rules))
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
	return 0, withHint(usagef("%q is no age", s), "Say it in days or hours: 90d, 36h.")
}

// formatAge writes what parseAge reads.
func formatAge(d time.Duration) string {
	if day := 24 * time.Hour; d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}

func imageGCCommand(e *env) *cobra.Command {
	var store storeFlags
	var out outputFlag
	var dry, yes bool
	c := &cobra.Command{
		Use:   "gc",
		Short: "Delete the versions that no rule keeps, and data that nothing needs",
		Long: "Delete the versions that no rule of `griddle image keep` keeps, and data that no image needs: what a killed publication or\n" +
			"copy left too, unless it is still at work, and what a copy that broke off would go on with. Where another version can\n" +
			"only be reached through one of them, a full stream of it is made first; without a key to sign it, what leads to it\n" +
			"stays. The versions cannot be used again. --dry-run says what would go, to the byte, and changes nothing.",
		Example: "  griddle image gc --dry-run\n  griddle image gc --yes",
		Args:    cobra.NoArgs,
	}
	store.add(c)
	out.add(c)
	c.Flags().BoolVar(&dry, "dry-run", false, "only say what would go")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.RunE = func(c *cobra.Command, _ []string) error {
		st, err := openStore(e, store, false)
		if err != nil {
			return err
		}
		if !dry && !yes {
			would, err := st.GC(c.Context(), imagestore.GCOptions{DryRun: true, Parts: true})
			if err != nil {
				return err
			}
			if len(would.Versions)+would.Blobs+would.Files > 0 {
				fmt.Fprintf(e.stderr, "%s\n", gcText(would))
				if err := confirm(e, yes, "collecting", "Delete these?"); err != nil {
					return err
				}
			}
		}
		if !dry {
			// Copies of what killed publications were about to send are no part of the store, and take the most.
			if err := source.CollectSpool(c.Context(), spoolDir(e)); err != nil {
				e.warn(err.Error())
			}
		}
		o := imagestore.GCOptions{DryRun: dry, Parts: true}
		done := func() {}
		if !out.json() {
			o.Progress, done = phases(e)
		}
		d, failed := st.GC(c.Context(), o)
		done()
		if failed != nil && d.Versions == nil { // nothing was done
			return failed
		}
		if out.json() {
			return errors.Join(failed, writeJSON(e.stdout, d))
		}
		_, err = fmt.Fprintln(e.stdout, gcText(d))
		return errors.Join(failed, err)
	}
	return c
}

// gcText is a line for each version, then for each blob of a dry run, then the sum.
func gcText(d imagestore.Collected) string {
	goes, made, stays := "deleted", "got a full stream", "stays: only it leads to others"
	if d.DryRun {
		goes, made, stays = "would be deleted", "would get a full stream", "would stay: only it leads to others"
	}
	var lines []string
	for _, r := range d.Derived {
		lines = append(lines, r+" "+made)
	}
	for _, r := range d.Versions {
		lines = append(lines, r+" "+goes)
	}
	for _, r := range d.Kept {
		lines = append(lines, r+" "+stays)
	}
	for _, b := range d.Digests {
		lines = append(lines, string(b)+" "+goes)
	}
	parts := ""
	if d.Files > 0 {
		parts = fmt.Sprintf(" and %d unfinished files", d.Files)
	}
	return strings.Join(append(lines, fmt.Sprintf("%d versions, %d blobs%s with %s %s", len(d.Versions), d.Blobs, parts, job.Bytes(d.Bytes), goes)), "\n")
}
