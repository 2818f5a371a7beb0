package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/cloud/audit"
)

// auditing is the flags of an audit.
type auditing struct {
	identity, user, address, hostKey string
	from, to                         uint16
}

func (m *machines) auditCommand() *cobra.Command {
	var a auditing
	c := &cobra.Command{
		Use:   "audit MACHINE",
		Short: "Check that an installed machine is as secure as its settings say",
		Long: "Try the ports and logins of an installed machine from this computer, look at its system over ssh,\n" +
			"and report for each point whether it is as declared. The exit code is 1 if one is not. Points of the\n" +
			"secure state that the machine's settings do not ask for (ssh.secure) are notes.\n\n" +
			"The machine reported its addresses and the host key of its ssh server when it was installed; no other\n" +
			"key is accepted. The audit logs in as the first user with sudo and a key that the settings have.",
		Example: "  griddle machine audit node7\n" +
			"  griddle machine audit node7 --user ops --identity ~/.ssh/ops --to 65535 -o json",
		Args: cobra.ExactArgs(1), ValidArgsFunction: m.one(),
		RunE: m.with(func(ctx context.Context, client *api.Client, args []string) error {
			return m.audit(ctx, client, args[0], a)
		}),
	}
	c.Flags().StringVar(&a.identity, "identity", "", "`FILE` of the private key (default from the ssh agent or ~/.ssh)")
	c.Flags().StringVar(&a.user, "user", "", "`NAME` to log in as, with sudo (default from the settings)")
	c.Flags().StringVar(&a.address, "address", "", "`ADDRESS` of the machine (default from its report)")
	c.Flags().StringVar(&a.hostKey, "host-key", "", "`FILE` with the public host key (default from its report)")
	c.Flags().Uint16Var(&a.from, "from", 1, "first `PORT` to try")
	c.Flags().Uint16Var(&a.to, "to", 10000, "last `PORT` to try")
	cli.CompleteFlag(c, "identity", cli.Files)
	cli.CompleteFlag(c, "host-key", cli.Files)
	return c
}

// audit audits the machine that key names.
func (m *machines) audit(ctx context.Context, client *api.Client, key string, a auditing) error {
	got, err := client.Machine(ctx, key)
	if err != nil {
		return err
	}
	fail := func(err error) error { return fmt.Errorf("auditing %s: %w", got.Name, err) }
	if got.Deployed == nil {
		return fail(cli.WithHint(fmt.Errorf("it has not reported from an installed system: it is %s", got.Status),
			"Wait until `griddle machine list` shows it as deployed."))
	}
	settings, err := declared(ctx, client, got)
	if err != nil {
		return fail(err)
	}
	want := auditWant(settings, hostnameOf(got))
	if a.user != "" {
		want.Admin = a.user
	}
	if want.Admin == "" {
		return fail(cli.WithHint(errors.New("its settings have no user with sudo and a key"),
			"Give the user to log in as with --user NAME."))
	}
	t := audit.Target{From: a.from, To: a.to}
	if t.HostKey, err = a.knownKey(got.Deployed.Report); err != nil {
		return fail(err)
	}
	keys := openIdentities(m.e)
	defer keys.close()
	if t.Signer, err = keys.choose(a.identity, keysOf(settings, want.Admin)); err != nil {
		return fail(err)
	}
	if t.SSH, err = a.reach(ctx, got.Deployed.Report, want.SSHPort); err != nil {
		return fail(err)
	}
	if !t.SSH.Addr().IsLoopback() {
		t.Scan = t.SSH.Addr() // a loopback address shows this computer's own ports
	}
	points, err := audit.Run(ctx, t, want)
	return cli.PrintAudit(m.e, got.Name, points, err)
}

// hostnameOf is what the installed system was called by its job; "" if the server no longer knows.
func hostnameOf(m api.Machine) string {
	for _, j := range m.Jobs {
		if j.Spec.ID == m.Deployed.Job {
			return j.Spec.Hostname
		}
	}
	return ""
}

// knownKey is the one host key that is accepted.
func (a auditing) knownKey(r job.HomeReport) (ssh.PublicKey, error) {
	if a.hostKey != "" {
		b, err := os.ReadFile(a.hostKey)
		if err != nil {
			return nil, fmt.Errorf("reading the host key: %w", err)
		}
		k, _, _, _, err := ssh.ParseAuthorizedKey(b)
		if err != nil {
			return nil, fmt.Errorf("reading the host key: %s has no public key: give a file such as "+
				"ssh_host_ed25519_key.pub", a.hostKey)
		}
		return k, nil
	}
	if keys := hostKeys(r); len(keys) > 0 {
		return keys[0], nil
	}
	return nil, cli.WithHint(errors.New("it has reported no host key: its agent is from an earlier version, or it has "+
		"no ssh server"), "Copy its /etc/ssh/ssh_host_ed25519_key.pub here, by its console, and give that with "+
		"--host-key FILE. A machine that is installed again reports the key.")
}

// reachTime is how long one address may take to answer.
const reachTime = 3 * time.Second

// reach is the first of the machine's addresses at which ssh answers.
func (a auditing) reach(ctx context.Context, r job.HomeReport, port uint16) (netip.AddrPort, error) {
	all := r.Addresses
	if a.address != "" {
		all = []string{a.address}
	}
	var tried []string
	for _, s := range all {
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return netip.AddrPort{}, cli.Usagef("--address %q is not an address such as 192.0.2.5", s)
		}
		at := netip.AddrPortFrom(addr, port)
		d := net.Dialer{Timeout: reachTime}
		c, err := d.DialContext(ctx, "tcp", at.String())
		if err == nil {
			return at, c.Close()
		}
		if ctx.Err() != nil {
			return netip.AddrPort{}, ctx.Err()
		}
		tried = append(tried, err.Error())
	}
	if len(tried) == 0 {
		return netip.AddrPort{}, cli.WithHint(errors.New("it has reported no address"),
			"Give one with --address ADDRESS.")
	}
	return netip.AddrPort{}, cli.WithHint(fmt.Errorf("ssh does not answer: %s", strings.Join(tried, "; ")),
		"Is the machine on, and this computer in its network? Give another address with --address ADDRESS.")
}
