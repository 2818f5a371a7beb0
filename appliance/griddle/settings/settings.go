// Package settings is `griddle settings`: it checks and shows the settings that machines get beside their image.
package settings

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/setting"
	"griddle/appliance/setting/settingfile"
	"griddle/cloud/yamltree"
)

// Command is `griddle settings`.
func Command(e *cli.Env) *cobra.Command {
	return cli.Group("settings", "Check the settings of machines",
		"Check files with settings: what a machine gets in addition to its image, such as a hostname, users and\n"+
			"keys. docs/SETTINGS.md describes all settings.",
		checkCommand(e), discardCommand(e))
}

// columns are those of a value.
var columns = []cli.Column[setting.Value]{
	{Name: "place", Text: func(v setting.Value) string { return v.Place }},
	{Name: "value", Text: func(v setting.Value) string { return v.Text }},
	{Name: "from", Text: func(v setting.Value) string { return v.From }},
}

func checkCommand(e *cli.Env) *cobra.Command {
	list := cli.List[setting.Value]{Columns: columns}
	c := &cobra.Command{
		Use:   "check FILE...",
		Short: "Check files with settings, and show what they are together",
		Long: "Check files with settings in YAML or JSON and merge them: the first is the weakest, the last wins.\n" +
			"Show every value and the file that it comes from, and no secret. All mistakes are reported with file,\n" +
			"line and column.",
		Example: "  griddle settings check site.yaml machine.yaml\n" +
			"  griddle settings check site.yaml --filter 'place=users*' -o json",
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: cli.Each(cli.Files),
		RunE: func(_ *cobra.Command, args []string) error {
			m, err := read(args)
			if err != nil {
				return err
			}
			return list.Print(e, m.Values())
		},
	}
	list.Flags(c)
	return c
}

// read reads, checks and merges files. The error has the mistakes of all of them.
func read(names []string) (setting.Merged, error) {
	var files []settingfile.File
	var faults yamltree.Faults
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return setting.Merged{}, fmt.Errorf("reading settings: %w", err)
		}
		f, err := settingfile.Parse(name, b)
		var more yamltree.Faults
		switch {
		case errors.As(err, &more):
			faults = append(faults, more...)
		case err != nil:
			return setting.Merged{}, err
		}
		files = append(files, f)
	}
	if len(faults) > 0 {
		return setting.Merged{}, faults
	}
	m, _, err := settingfile.Resolve(setting.AnyMachine, files...)
	return m, err
}
