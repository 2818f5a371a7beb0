package cloud

import (
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/cloud"
	"griddle/cloud/audit"
	"griddle/cloud/firstboot"
	"griddle/cloud/stack"
	"griddle/cloud/userdata/secure"
)

func (g *Commands) auditCommand() *cobra.Command {
	var from, to uint16
	c := &cobra.Command{
		Use:   "audit SERVER",
		Short: "Check that a server is as secure as declared",
		Long: "Try the ports and logins of a running server from this computer, look at its settings over ssh, and\n" +
			"report for each point whether it is as declared. The exit code is 1 if one is not.",
		Example: "  griddle cloud audit web-1\n  griddle cloud audit web-1 --to 65535 -o json",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: g.one(),
	}
	c.Flags().Uint16Var(&from, "from", 1, "first `PORT` to try")
	c.Flags().Uint16Var(&to, "to", 10000, "last `PORT` to try")
	c.RunE = func(c *cobra.Command, args []string) error {
		x, err := g.open(c.Context(), "audit")
		if err != nil {
			return err
		}
		targets, err := x.Targets(c.Context(), x.s.Name, cloud.Pick{Servers: args})
		if err != nil {
			return err
		}
		t := targets[0]
		if t.Via != nil {
			return fmt.Errorf("auditing %s: it has no public address, and is probed from outside alone", t.Server)
		}
		key, err := x.keys.Host(t.Stack, t.Server)
		if err != nil {
			return err
		}
		target := audit.Target{SSH: netip.AddrPortFrom(t.Address, t.Port), HostKey: key, Signer: x.keys.Signer(),
			From: from, To: to}
		if t.Port == x.s.SSH.Port && !t.Address.IsLoopback() {
			target.Scan = t.Address // a loopback address shows this machine's own ports beside those that are forwarded
		}
		points, err := audit.Run(c.Context(), target, auditWant(x.s, args[0], x.Provider.Features().Format == "tree",
			firstboot.Options{ReadFile: g.readLocal}))
		return cli.PrintAudit(g.E, args[0], points, err)
	}
	return c
}

// auditWant is what is declared of a server.
func auditWant(s *stack.Stack, server string, tree bool, o firstboot.Options) audit.Want {
	w := audit.Want{Admin: s.Admin, SSHPort: s.SSH.Port, Zone: s.Settings.Zone, NTP: s.Settings.NTP, Inside: true}
	for _, u := range s.Users {
		w.Users = append(w.Users, audit.User{Name: u.Name, Sudo: u.Sudo})
	}
	for _, x := range s.Servers {
		if x.Name != server {
			continue
		}
		guests, _ := firstboot.Logins(s, x, o)
		for _, l := range guests {
			w.Users = append(w.Users, audit.User{Name: l.Name, Sudo: l.Sudo})
		}
		for _, p := range x.Ports {
			w.Ports = append(w.Ports, audit.Port{Protocol: p.Protocol, From: p.From, To: p.To})
		}
		for _, v := range x.Volumes {
			m := audit.Mount{Path: v.Mount}
			if !tree {
				m.Label = secure.Label(v.Name)
			}
			w.Mounts = append(w.Mounts, m)
		}
	}
	return w
}
