// Package inventory is `griddle inventory`: the machines, in the formats of programs that manage machines.
package inventory

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
)

// Command is `griddle inventory`.
func Command(e *cli.Env) *cobra.Command {
	c := cli.Group("inventory", "List the machines for programs that manage them",
		"List the machines in the format of a program that manages machines. docs/OBSERVE.md describes it.")
	c.AddCommand(ansibleCommand(e, cli.RemoteFlags(e, c)))
	return c
}

func ansibleCommand(e *cli.Env, remote *cli.Remote) *cobra.Command {
	var list bool
	var host string
	c := cli.Raw(&cobra.Command{
		Use:   "ansible [--list | --host NAME]",
		Short: "Print an inventory for Ansible",
		Long: "Print an inventory for Ansible as JSON: the machines that an operator named, in groups by status\n" +
			"and image, with what the server knows of them. Ansible runs an inventory script with --list or\n" +
			"--host NAME; without both, --list is meant. This needs a token with the role viewer.",
		Example: "  griddle inventory ansible --list\n" +
			"  griddle inventory ansible --host lab-1",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := remote.Client()
			if err != nil {
				return err
			}
			var all []api.Machine
			err = client.EachPage(c.Context(), func(page api.Machines) error {
				all = append(all, page.Machines...)
				return nil
			})
			if err != nil {
				return err
			}
			inv := forAnsible(all)
			for _, w := range inv.warnings {
				e.Warn(w)
			}
			var out any = inv.list()
			if host != "" {
				out = inv.host(host)
			}
			b, err := json.MarshalIndent(out, "", "  ")
			if err == nil {
				_, err = fmt.Fprintf(e.Stdout, "%s\n", b)
			}
			if err != nil {
				return fmt.Errorf("writing the inventory: %w", err)
			}
			return nil
		},
	})
	c.Flags().BoolVar(&list, "list", false, "print all machines")
	c.Flags().StringVar(&host, "host", "", "print the variables of the machine `NAME`")
	c.MarkFlagsMutuallyExclusive("list", "host")
	cli.CompleteFlag(c, "host", cli.Machines(remote))
	return c
}
