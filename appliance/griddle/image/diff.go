package image

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/imagestore"
	"griddle/imagestore/content"
	"griddle/imagestore/packages"
)

func diffCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var onlyPackages, onlyFiles bool
	var o imagestore.DiffOptions
	c := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Compare two images: packages, then files",
		Long: "Compare two images: first the packages, in the package manager's own order of versions, then the\n" +
			"files. The images can be of different templates. A file is shown as moved if its content was at\n" +
			"another path that does not exist any more. Modification times are ignored without --times.\n\n" +
			"A line for a package or a path begins with + (added), - (removed), ~ (changed), and > (moved), ^\n" +
			"(newer) or v (older).",
		Example: "  griddle image diff web:20261120.1 web\n  griddle image diff web:stable web --packages",
		Args:    cobra.ExactArgs(2), ValidArgsFunction: cli.Arguments(cli.Images(e, &store), cli.Images(e, &store)),
	}
	store.Add(c)
	c.Flags().BoolVar(&onlyPackages, "packages", false, "compare only the packages")
	c.Flags().BoolVar(&onlyFiles, "files", false, "compare only the files")
	c.Flags().BoolVar(&o.Times, "times", false, "also show paths of which only the modification time differs")
	c.RunE = func(c *cobra.Command, args []string) error {
		var err error
		if o.Old, err = parseRef(args[0]); err != nil {
			return err
		}
		if o.New, err = parseRef(args[1]); err != nil {
			return err
		}
		o.Packages, o.Files = onlyPackages || !onlyFiles, onlyFiles || !onlyPackages
		o.ListsMustBe = onlyPackages
		st, err := cli.OpenStore(e, store, false)
		if err != nil {
			return err
		}
		d, err := st.Diff(c.Context(), o)
		if err != nil {
			return err
		}
		return e.Printf(d, "%s", strings.Join(diffText(d), "\n"))
	}
	return c
}

func diffText(d imagestore.Difference) []string {
	out := []string{d.Old + " -> " + d.New}
	if d.NoPackages != "" {
		out = append(out, "packages: not compared, "+d.NoPackages)
	}
	if d.Packages != nil {
		out = append(out, packageDiffText(*d.Packages)...)
	}
	if f := d.Files; f != nil {
		out = append(out, fmt.Sprintf("files: %s, %s -> %s", counts(f.Added, "added", f.Removed, "removed", f.Changed,
			"changed", f.Moved, "moved"), job.Bytes(f.OldSize), job.Bytes(f.NewSize)))
		for _, c := range f.Changes {
			out = append(out, "  "+fileChangeText(c))
		}
	}
	return out
}

// counts writes pairs of a number and a word, or "no difference".
func counts(pairs ...any) string {
	var out []string
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] != 0 {
			out = append(out, fmt.Sprint(pairs[i], " ", pairs[i+1]))
		}
	}
	if len(out) == 0 {
		return "no difference"
	}
	return strings.Join(out, ", ")
}

func packageDiffText(d packages.Difference) []string {
	out := []string{"packages: " + counts(len(d.Added), "added", len(d.Removed), "removed", len(d.Upgraded), "upgraded",
		len(d.Downgraded), "downgraded", len(d.Changed), "changed")}
	for _, p := range d.Added {
		out = append(out, fmt.Sprintf("  + %s %s %s", p.Name, p.Version, p.Arch))
	}
	for _, p := range d.Removed {
		out = append(out, fmt.Sprintf("  - %s %s %s", p.Name, p.Version, p.Arch))
	}
	for _, part := range []struct {
		mark    string
		changes []packages.Change
	}{{"^", d.Upgraded}, {"v", d.Downgraded}, {"~", d.Changed}} {
		for _, c := range part.changes {
			arch := c.Arch
			if c.OldArch != "" {
				arch = c.OldArch + " -> " + c.Arch
			}
			out = append(out, fmt.Sprintf("  %s %s %s -> %s %s", part.mark, c.Name, c.Old, c.New, arch))
		}
	}
	return out
}

func fileChangeText(c imagestore.FileChange) string {
	switch c.Kind {
	case content.Added:
		return "+ " + c.Path + stateText(c.New)
	case content.Removed:
		return "- " + c.Path + stateText(c.Old)
	}
	var what []string
	for _, w := range c.What {
		switch w {
		case "type":
			w += " " + c.Old.Type + " -> " + c.New.Type
		case "content":
			w += " " + job.Bytes(c.Old.Size) + " -> " + job.Bytes(c.New.Size)
		case "mode":
			w += " " + c.Old.Mode + " -> " + c.New.Mode
		case "owner":
			w += fmt.Sprintf(" %d:%d -> %d:%d", c.Old.UID, c.Old.GID, c.New.UID, c.New.GID)
		case "target":
			w += " " + c.Old.Target + " -> " + c.New.Target
		}
		what = append(what, w)
	}
	line := "~ " + c.Path
	if c.Kind == content.Moved {
		line = "> " + c.From + " -> " + c.Path + stateText(c.New)
	}
	if len(what) > 0 {
		line += ": " + strings.Join(what, ", ")
	}
	return line
}

// stateText tells what a path is, in short: directories end in a slash, links point to something, files have a size.
func stateText(s *imagestore.FileState) string {
	switch s.Type {
	case string(rune(content.Directory)):
		return "/"
	case string(rune(content.Symlink)):
		return " -> " + s.Target
	case string(rune(content.Regular)):
		return " (" + job.Bytes(s.Size) + ")"
	}
	return ""
}
