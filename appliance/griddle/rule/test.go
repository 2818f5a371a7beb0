package rule

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/fleet"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/appliance/rule"
)

// asked is what a test is asked for with.
type asked struct {
	api.TryRules
	file   string
	memory string
}

func (r *rules) testCommand() *cobra.Command {
	var in asked
	c := &cobra.Command{
		Use:   "test [MACHINE]",
		Short: "Say which rule acts for a machine, and why",
		Long: "Say which rule acts for a machine, at its next network boot and after its agent has said what the\n" +
			"machine is; which conditions of each rule hold, and which do not. Nothing is changed.\n\n" +
			"MACHINE is a name, a MAC address or a UUID; also the MAC address of a machine that was not seen yet.\n" +
			"With --file the rules of a file are tested, and not those of the server. The other flags take the\n" +
			"place of what is known of the machine. With --file and without MACHINE, no server is asked.",
		Example: "  griddle rule test lab-7\n" +
			"  griddle rule test lab-7 --file rules.yaml\n" +
			"  griddle rule test --file rules.yaml --mac 52:54:00:12:34:56 --vendor 'Dell Inc.'",
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: cli.Arguments(cli.Machines(r.remote)),
		RunE: func(c *cobra.Command, args []string) error {
			d, err := in.complete()
			if err != nil {
				return err
			}
			if len(args) == 0 && in.file == "" {
				return cli.Usagef("name a MACHINE, or give --file with rules that need no server")
			}
			if len(args) == 0 {
				return r.alone(in, d)
			}
			in.Machine = args[0]
			return r.with(c.Context(), func(client *api.Client) error {
				t, err := client.TryRules(c.Context(), in.TryRules)
				if err != nil {
					return err
				}
				return r.e.Print(t, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s\nAt its next network boot %sAfter its agent has said what it is, %s",
						job.Printable(t.Machine), decision(t.Boot), decision(t.Hello))
					return err
				})
			})
		},
	}
	f := c.Flags()
	f.StringVar(&in.file, "file", "", "test the rules of `FILE`")
	f.StringVar(&in.MAC, "mac", "", "`MAC` address that the machine boots by")
	f.StringVar(&in.Address, "address", "", "`IP` address of the machine")
	f.StringVar(&in.Vendor, "vendor", "", "`VENDOR` that the machine reports")
	f.StringVar(&in.Model, "model", "", "`MODEL` that the machine reports")
	f.StringVar(&in.memory, "memory", "", "`SIZE` of the memory that the machine reports, such as 8G")
	cli.CompleteFlag(c, "file", cli.Files)
	return c
}

// complete checks the flags, and reads the file with rules.
func (in *asked) complete() (d rule.Document, err error) {
	if in.MAC != "" {
		mac, ok := job.NormalMAC(in.MAC)
		if !ok {
			return d, cli.Usagef("--mac: %q is not the address of a machine", in.MAC)
		}
		in.MAC = mac
	}
	if in.Address != "" {
		if _, err := netip.ParseAddr(in.Address); err != nil {
			return d, cli.Usagef("--address: %q is not an address such as 10.2.0.7", in.Address)
		}
	}
	if in.memory != "" {
		if in.Memory, err = job.ParseBytes(in.memory); err != nil {
			return d, cli.Usagef("--memory: %q is not a size such as 8G", in.memory)
		}
	}
	if in.file == "" {
		return d, nil
	}
	if d, err = read(in.file); err == nil {
		in.Rules, err = json.Marshal(d)
	}
	return d, err
}

// alone tests rules on what the flags say, without a server.
func (r *rules) alone(in asked, d rule.Document) error {
	f := rule.Facts{MAC: in.MAC}
	f.Address, _ = netip.ParseAddr(in.Address) // the zero value for none
	if in.Vendor != "" || in.Model != "" || in.Memory > 0 {
		f.Claims = &rule.Claims{Vendor: in.Vendor, Model: in.Model, Memory: in.Memory}
	}
	out := fleet.Decision{Findings: d.Explain(f)}
	if acts := d.Acts(f); acts != nil {
		out.Rule = acts.Name
	}
	return r.e.Print(out, func(w io.Writer) error {
		for _, one := range out.Findings {
			if _, err := fmt.Fprintln(w, one); err != nil {
				return err
			}
		}
		if out.Rule == "" {
			_, err := fmt.Fprintln(w, "no rule acts: the server does what its configuration says")
			return err
		}
		return nil
	})
}

// decision says which rule acts, and why.
func decision(d fleet.Decision) string {
	var b strings.Builder
	if d.Rule == "" {
		fmt.Fprintf(&b, "no rule acts. It gets %s.\n", job.Sentence(d.Gets))
	} else {
		fmt.Fprintf(&b, "rule %s acts. It gets %s.\n", d.Rule, job.Sentence(d.Gets))
	}
	for _, n := range d.Notes {
		fmt.Fprintf(&b, "  %s\n", job.Sentence(n))
	}
	for _, f := range d.Findings {
		fmt.Fprintf(&b, "  - %s\n", f)
	}
	return b.String()
}
