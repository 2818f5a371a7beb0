// Package account is `griddle account`, `griddle token` and `griddle audit`: who may use the server, and what they did.
package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/account"
	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
)

// Command is `griddle account`.
func Command(e *cli.Env) *cobra.Command {
	c := cli.Group("account", "Manage who may use the server",
		"Manage the accounts of the people and programs that may use the server. A role says what an account\n"+
			"may do:\n\n"+
			"  viewer     see machines, jobs and settings without their secrets, read images\n"+
			"  operator   also give machines jobs, change and delete them\n"+
			"  publisher  also publish images of the names that --prefix gives, but give no jobs\n"+
			"  admin      everything: also accounts, keys, deletion of images, recovery keys, the audit log\n\n"+
			"A person runs `griddle login`; a program gets a token by `griddle token add`.")
	a := &accounts{e: e, remote: cli.RemoteFlags(e, c)}
	c.AddCommand(a.addCommand(), a.listCommand(), a.setCommand(), a.deleteCommand(), a.meCommand())
	return c
}

// accounts is what the commands of the groups share.
type accounts struct {
	e      *cli.Env
	remote *cli.Remote
}

// with makes the RunE of a command that asks the server.
func (a *accounts) with(do func(ctx context.Context, client *api.Client, args []string) error) func(*cobra.Command,
	[]string) error {
	return func(c *cobra.Command, args []string) error {
		client, err := a.remote.Client()
		if err != nil {
			return err
		}
		return cli.ExplainRemote(do(c.Context(), client, args))
	}
}

// date is how lists show a time.
func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04")
}

var accountColumns = []cli.Column[account.Account]{
	{Name: "name", Text: func(a account.Account) string { return a.Name }},
	{Name: "role", Text: func(a account.Account) string { return string(a.Role) }},
	{Name: "prefixes", Text: func(a account.Account) string { return strings.Join(a.Prefixes, " ") }},
	{Name: "login", Text: func(a account.Account) string {
		switch {
		case a.Subject != "":
			return "identity provider"
		case a.Password:
			return "password"
		}
		return "tokens only"
	}},
	{Name: "tokens", Text: func(a account.Account) string { return fmt.Sprint(a.Tokens) }},
	{Name: "made", Text: func(a account.Account) string { return date(a.Made) }, Hidden: true},
	{Name: "changed", Text: func(a account.Account) string { return date(a.Changed) }},
}

func (a *accounts) listCommand() *cobra.Command {
	list := cli.List[account.Account]{Columns: accountColumns}
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the accounts",
		Example: "  griddle account list --filter role=admin",
		Args:    cobra.NoArgs,
		RunE: a.with(func(ctx context.Context, client *api.Client, _ []string) error {
			all, err := client.Accounts(ctx)
			if err != nil {
				return err
			}
			return list.Print(a.e, all)
		}),
	}
	list.Flags(c)
	return c
}

func (a *accounts) meCommand() *cobra.Command {
	return &cobra.Command{
		Use: "me", Short: "Show who you are for the server, and until when",
		Example: "  griddle account me", Args: cobra.NoArgs,
		RunE: a.with(func(ctx context.Context, client *api.Client, _ []string) error {
			me, err := client.Me(ctx)
			if err != nil {
				return err
			}
			until := ""
			if !me.Until.IsZero() {
				until = ", until " + date(me.Until)
			}
			return a.e.Printf(me, "%s, %s%s", me.Name, me.Role, until)
		}),
	}
}

// roleFlags adds --role and --prefix to c.
func roleFlags(c *cobra.Command, role *string, prefixes *[]string) {
	c.Flags().StringVar(role, "role", "", "what it may do: `ROLE` is viewer, operator, publisher or admin")
	c.Flags().StringArrayVar(prefixes, "prefix", nil, "`PATTERN` of the names that a publisher may publish, such as "+
		"'web*' or 'team/*'; several times for several")
	var roles []string
	for _, r := range account.Roles() {
		roles = append(roles, string(r))
	}
	_ = c.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(roles, cobra.ShellCompDirectiveNoFileComp))
}

func (a *accounts) addCommand() *cobra.Command {
	var n account.NewAccount
	var role, file string
	var without bool
	c := &cobra.Command{
		Use: "add NAME", Short: "Make an account",
		Long: "Make an account. The password has at least 12 characters; it is asked for on the terminal, or read\n" +
			"from the first line of a file. An account without a password has only tokens.",
		Example: "  griddle account add ada --role operator --password-file ada.password\n" +
			"  griddle account add ci --role publisher --prefix 'web*' --no-password",
		Args: cobra.ExactArgs(1),
		RunE: a.with(func(ctx context.Context, client *api.Client, args []string) (err error) {
			n.Name, n.Role = args[0], account.Role(role)
			if !without {
				if n.Password, err = a.e.NewPassword("making account "+args[0], file); err != nil {
					return err
				}
			}
			made, err := client.AddAccount(ctx, n)
			if err != nil {
				return err
			}
			return a.e.Printf(made, "account %s, %s", made.Name, made.Role)
		}),
	}
	roleFlags(c, &role, &n.Prefixes)
	c.Flags().StringVar(&file, "password-file", "", "`FILE` with the password, in its first line")
	c.Flags().BoolVar(&without, "no-password", false, "give it no password")
	_ = c.MarkFlagRequired("role")
	c.MarkFlagsMutuallyExclusive("password-file", "no-password")
	return c
}

func (a *accounts) setCommand() *cobra.Command {
	var role, file string
	var prefixes []string
	var password, without bool
	var c *cobra.Command
	c = &cobra.Command{
		Use: "set NAME", Short: "Change the role or the password of an account",
		Long: "Change the role, the patterns of names or the password of an account. A new role counts at once, for\n" +
			"its tokens too. If its password changes, all its tokens are deleted.",
		Example: "  griddle account set ada --role viewer\n  griddle account set ada --password",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: a.names,
		RunE: a.with(func(ctx context.Context, client *api.Client, args []string) error {
			var n account.Change
			if r := account.Role(role); role != "" {
				n.Role = &r
			}
			if c.Flags().Changed("prefix") {
				n.Prefixes = &prefixes
			}
			if password || file != "" {
				text, err := a.e.NewPassword("changing account "+args[0], file)
				if err != nil {
					return err
				}
				n.Password = &text
			}
			if none := ""; without {
				n.Password = &none
			}
			if n == (account.Change{}) {
				return cli.Usagef("changing account %s: nothing says what to change", args[0])
			}
			after, err := client.ChangeAccount(ctx, args[0], n)
			if err != nil {
				return err
			}
			return a.e.Printf(after, "account %s, %s", after.Name, after.Role)
		}),
	}
	roleFlags(c, &role, &prefixes)
	c.Flags().BoolVar(&password, "password", false, "ask for a new password")
	c.Flags().StringVar(&file, "password-file", "", "`FILE` with the new password, in its first line")
	c.Flags().BoolVar(&without, "no-password", false, "take its password away")
	c.MarkFlagsMutuallyExclusive("password", "password-file", "no-password")
	return c
}

func (a *accounts) deleteCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "delete NAME", Aliases: []string{"rm"}, Short: "Delete an account and its tokens",
		Long:    "Delete an account and its tokens, at once. What it did stays in the audit log.",
		Example: "  griddle account delete ada",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: a.names,
		RunE: a.with(func(ctx context.Context, client *api.Client, args []string) error {
			if err := cli.Confirm(a.e, yes, "deleting account "+args[0],
				fmt.Sprintf("Delete account %s and its tokens?", args[0])); err != nil {
				return err
			}
			if err := client.DeleteAccount(ctx, args[0]); err != nil {
				return err
			}
			return a.e.Printf(struct {
				Name string `json:"name"`
			}{args[0]}, "account %s is deleted", args[0])
		}),
	}
	cli.YesFlag(c, &yes)
	return c
}

// names completes the name of an account.
func (a *accounts) names(c *cobra.Command, args []string, _ string) (out []string, _ cobra.ShellCompDirective) {
	client, err := a.remote.Client()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, err := client.Accounts(c.Context())
	for _, one := range all {
		out = append(out, one.Name)
	}
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// AuditCommand is `griddle audit`.
func AuditCommand(e *cli.Env) *cobra.Command {
	list := cli.List[Line]{Columns: lineColumns}
	var last int
	c := &cobra.Command{
		Use: "audit", Short: "Show what people and programs changed on the server",
		Long: "Show what people and programs changed on the server: who, from where, what, and how it ended. The\n" +
			"newest is last. The log cannot be switched off: what it cannot note is not done. Its entries form a\n" +
			"chain, which this command checks from the first entry on. Keep the digest that it ends with\n" +
			"elsewhere: a log that was cut off at its end, or written again, does not have it.",
		Example: "  griddle audit --last 0 --filter who=ada\n  griddle audit --last 0 -o csv",
		Args:    cobra.NoArgs,
	}
	a := &accounts{e: e, remote: cli.RemoteFlags(e, c)}
	c.Flags().IntVar(&last, "last", 50, "show only the last `N` calls; 0 for all")
	list.Flags(c)
	c.RunE = a.with(func(ctx context.Context, client *api.Client, _ []string) error {
		var lines []Line
		seq, digest, err := client.Audit(ctx, func(page []account.Entry) error {
			lines = merge(lines, page)
			return nil
		})
		if errors.Is(err, account.ErrChain) {
			return cli.WithHint(err, "Someone changed accounts.db of the server's state directory. Compare it with "+
				"a backup.")
		}
		if err != nil {
			return err
		}
		lines = list.Pick(lines)
		if last > 0 && len(lines) > last {
			lines = lines[len(lines)-last:]
		}
		if seq > 0 {
			e.Say(fmt.Sprintf("the log is whole; its entry %d has the digest %s", seq, digest))
		}
		return list.PrintOf(e, lines, lines)
	})
	return c
}

// Line is a call in the audit log, with its end.
type Line struct {
	account.Entry
	Ended time.Time `json:"ended,omitzero"`
}

// merge adds a page of the log to lines: an entry that ends a call is a part of that call's line.
func merge(lines []Line, page []account.Entry) []Line {
	at := map[int64]int{}
	for i, l := range lines {
		at[l.Seq] = i
	}
	for _, e := range page {
		i, ok := at[e.Of]
		if e.Of == 0 || !ok {
			at[e.Seq] = len(lines)
			lines = append(lines, Line{Entry: e})
			continue
		}
		lines[i].Outcome, lines[i].Status, lines[i].On, lines[i].Ended = e.Outcome, e.Status, e.On, e.At
	}
	return lines
}

var lineColumns = []cli.Column[Line]{
	{Name: "seq", Text: func(l Line) string { return fmt.Sprint(l.Seq) }},
	{Name: "time", Text: func(l Line) string { return l.At.Local().Format("2006-01-02 15:04:05") },
		Raw: func(l Line) string { return l.At.Format(time.RFC3339Nano) }},
	{Name: "who", Text: func(l Line) string { return l.Who }},
	{Name: "role", Text: func(l Line) string { return string(l.Role) }},
	{Name: "token", Text: func(l Line) string { return l.Token }, Hidden: true},
	{Name: "from", Text: func(l Line) string { return l.From }},
	{Name: "call", Text: func(l Line) string { return l.Call }},
	{Name: "on", Text: func(l Line) string { return l.On }},
	{Name: "outcome", Text: func(l Line) string { return string(l.Outcome) }, Tone: func(l Line) cli.Tone {
		if l.Outcome == account.Done {
			return cli.Good
		}
		return cli.Bad
	}},
}
