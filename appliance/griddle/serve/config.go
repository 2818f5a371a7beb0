package serve

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"griddle/appliance"
	"griddle/appliance/config"
	"griddle/appliance/griddle/cli"
)

func ConfigCommand(e *cli.Env) *cobra.Command {
	return cli.Group("config", "Look at the configuration", "Look at the configuration of `griddle serve`.",
		configCheckCommand(e),
		&cobra.Command{
			Use:   "example",
			Short: "Print every key with its default and what it means",
			Args:  cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				_, err := io.WriteString(e.Stdout, config.Example)
				return err
			},
		},
	)
}

func configCheckCommand(e *cli.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say what is wrong with a configuration file, all of it",
		Long:  "Say what is wrong with a configuration file (default: " + config.Path + "), with line, column and the nearest known key.",
		Args:  cobra.MaximumNArgs(1),
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
			fmt.Fprintf(e.Stdout, "%s is good\n", path)
			if conf.Interface == "" {
				fmt.Fprintln(e.Stdout, "it names no interface: `griddle serve` needs --interface then")
			}
			return nil
		},
	}
}
