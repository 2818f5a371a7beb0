package serve

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"griddle/appliance"
	"griddle/appliance/config"
	"griddle/appliance/griddle/cli"
)

// ConfigCommand is `griddle config`.
func ConfigCommand(e *cli.Env) *cobra.Command {
	return cli.Group("config", "Check and explain the configuration",
		"Check and explain the configuration of `griddle serve`.",
		configCheckCommand(e),
		cli.Raw(&cobra.Command{
			Use:     "example",
			Short:   "Print a configuration file with all keys, defaults and explanations",
			Example: "  griddle config example >/etc/griddle/griddle.yaml",
			Args:    cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				_, err := io.WriteString(e.Stdout, config.Example)
				return err
			},
		}),
	)
}

// checked is the result of `griddle config check -o json`.
type checked struct {
	File  string `json:"file"`
	Valid bool   `json:"valid"`
}

func configCheckCommand(e *cli.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a configuration file",
		Long: "Check a configuration file (default " + config.Path + ") and report all mistakes,\n" +
			"with line, column and the nearest known key.",
		Example: "  griddle config check\n  griddle config check new.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path := config.Path
			if len(args) == 1 {
				path = args[0]
			}
			conf, err := config.Read(path)
			if err != nil {
				return err
			}
			if err := appliance.CheckKeymap(conf); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if _, err := appliance.SiteSettings(conf); err != nil {
				return err
			}
			if conf.Interface == "" {
				e.Say("note: the file does not name an interface: `griddle serve` needs --interface")
			}
			return e.Printf(checked{path, true}, "%s is valid", path)
		},
	}
}
