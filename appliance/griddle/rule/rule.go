// Package rule is `griddle rule`: what machines get for which no one has given an order.
package rule

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/rule"
	"griddle/appliance/rule/rulefile"
)

// Command is `griddle rule`.
func Command(e *cli.Env) *cobra.Command {
	c := cli.Group("rule", "Say what machines get for which no one has given an order",
		"Check, set, show and test rules: what a machine boots for which no one has given an order, whether an\n"+
			"operator has to approve it, and what is installed on it. The first rule that matches acts. No rule\n"+
			"erases anything. docs/RULES.md describes the language.")
	r := &rules{e: e, remote: cli.RemoteFlags(e, c)}
	c.AddCommand(r.checkCommand(), r.setCommand(), r.showCommand(), r.testCommand())
	return c
}

// rules is what the commands of the group share.
type rules struct {
	e      *cli.Env
	remote *cli.Remote
}

// with connects, calls do, and explains its error.
func (r *rules) with(ctx context.Context, do func(client *api.Client) error) error {
	client, err := r.remote.Client()
	if err != nil {
		return err
	}
	return cli.ExplainMachine(do(client))
}

// read reads and checks a file.
func read(name string) (rule.Document, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return rule.Document{}, fmt.Errorf("reading the rules: %w", err)
	}
	return rulefile.Parse(name, b)
}

// print shows rules; for programs, and in YAML, as a file has them.
func (r *rules) print(d rule.Document) error {
	return r.e.Print(d, func(w io.Writer) error {
		text := d.String()
		if len(d.Rules) == 0 {
			text = "There are no rules: machines get what the server's configuration says.\n"
		}
		_, err := io.WriteString(w, text)
		return err
	})
}

func (r *rules) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Check a file with rules, and show what they say",
		Long: "Check rules in YAML or JSON, without a server, and show what they say. All mistakes are reported\n" +
			"with file, line and column.",
		Example: "  griddle rule check rules.yaml",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cli.Arguments(cli.Files),
		RunE: func(_ *cobra.Command, args []string) error {
			d, err := read(args[0])
			if err != nil {
				return err
			}
			return r.print(d)
		},
	}
}

func (r *rules) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show the rules of the server",
		Long: "Show the rules of the server. With -o yaml they are printed as a file, which you can change and set\n" +
			"again.",
		Example: "  griddle rule show\n  griddle rule show -o yaml >rules.yaml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return r.with(c.Context(), func(client *api.Client) error {
				got, err := client.Rules(c.Context())
				if err != nil {
					return err
				}
				d, err := rule.Decode(got.Rules)
				if err != nil {
					return fmt.Errorf("the rules of the server, which may be newer than this program: %w", err)
				}
				return r.print(d)
			})
		},
	}
}

func (r *rules) setCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "set FILE",
		Short: "Replace the rules of the server by those of a file",
		Long: "Check a file, and replace the rules of the server by those in it. Jobs that rules made before stay\n" +
			"as they are. `griddle rule test MACHINE --file FILE` shows before what they do to a machine.",
		Example: "  griddle rule set rules.yaml",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cli.Arguments(cli.Files),
		RunE: func(c *cobra.Command, args []string) error {
			d, err := read(args[0])
			if err != nil {
				return err
			}
			b, err := json.Marshal(d)
			if err != nil {
				return err
			}
			return r.with(c.Context(), func(client *api.Client) error {
				before, err := client.Rules(c.Context())
				if err != nil {
					return err
				}
				got, err := client.SetRules(c.Context(), api.SetRules{Rules: b, Tag: before.Tag})
				if err != nil {
					return err
				}
				if r.e.Notes() {
					for _, w := range got.Warnings {
						r.e.Say(w)
					}
				}
				return r.e.Printf(got, "The server has %d rules.", len(d.Rules))
			})
		},
	}
}
