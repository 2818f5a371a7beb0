package account

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/account"
	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
)

// TokenCommand is `griddle token`.
func TokenCommand(e *cli.Env) *cobra.Command {
	c := cli.Group("token", "Manage the tokens of programs and accounts",
		"Manage tokens: what programs use to prove who they are, and what `griddle login` gets. A token\n"+
			"allows what its role allows, and never more than the account that it belongs to. The server keeps\n"+
			"only its SHA-256.")
	a := &accounts{e: e, remote: cli.RemoteFlags(e, c)}
	c.AddCommand(a.tokenAddCommand(), a.tokenListCommand(), a.tokenDeleteCommand())
	return c
}

func (a *accounts) tokenAddCommand() *cobra.Command {
	var n account.NewToken
	var role, life string
	c := &cobra.Command{
		Use: "add NAME", Short: "Make a token, and print it",
		Long: "Make a token, and print it, this one time. NAME says what it is for. An admin makes tokens for every\n" +
			"account, and such that belong to no account; others make tokens of their own account, which expire\n" +
			"with the token that they are logged in with. Save it in a file with mode 0600, and give that with\n" +
			"--token-file.",
		Example: "  griddle token add backup --role viewer --for 90d >backup.token\n" +
			"  griddle token add laptop --account ada",
		Args: cobra.ExactArgs(1),
		RunE: a.with(func(ctx context.Context, client *api.Client, args []string) error {
			n.Name, n.Role = args[0], account.Role(role)
			d, err := lifetime(life)
			if err != nil {
				return err
			}
			if d > 0 {
				n.Until = time.Now().Add(d).UTC().Truncate(time.Second)
			}
			made, err := client.MakeToken(ctx, n)
			if err != nil {
				return err
			}
			a.e.Say(fmt.Sprintf("token %s, %s; it is shown only this time:", made.Token.ID, made.Token.Role))
			return a.e.Printf(made, "%s", made.Secret)
		}),
	}
	roleFlags(c, &role, &n.Prefixes)
	c.Flags().StringVar(&n.Account, "account", "", "`NAME` of the account that it belongs to, whose role it gets "+
		"without --role")
	c.Flags().StringVar(&life, "for", "", "`TIME` that it is valid, such as 12h or 90d; without it until it is deleted")
	return c
}

// lifetime reads a positive duration, in days too; "" is 0.
func lifetime(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d < time.Minute || d > 100*365*24*time.Hour {
		return 0, cli.Usagef("--for %q is not a time such as 12h or 90d", s)
	}
	return d, nil
}

var tokenColumns = []cli.Column[account.Token]{
	{Name: "id", Text: func(t account.Token) string { return t.ID }},
	{Name: "account", Text: func(t account.Token) string { return t.Account }},
	{Name: "name", Text: func(t account.Token) string { return t.Name }},
	{Name: "role", Text: func(t account.Token) string { return string(t.Role) }},
	{Name: "prefixes", Text: func(t account.Token) string { return strings.Join(t.Prefixes, " ") }},
	{Name: "made", Text: func(t account.Token) string { return date(t.Made) }, Hidden: true},
	{Name: "by", Text: func(t account.Token) string { return t.MadeBy }, Hidden: true},
	{Name: "used", Text: func(t account.Token) string { return date(t.Used) }},
	{Name: "until", Text: func(t account.Token) string {
		if t.Expired {
			return "expired"
		}
		return date(t.Until)
	}},
}

func (a *accounts) tokenListCommand() *cobra.Command {
	list := cli.List[account.Token]{Columns: tokenColumns}
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List your tokens; for an admin all",
		Example: "  griddle token list --columns id,account,name,used,until", Args: cobra.NoArgs,
		RunE: a.with(func(ctx context.Context, client *api.Client, _ []string) error {
			all, err := client.Tokens(ctx)
			if err != nil {
				return err
			}
			return list.Print(a.e, all)
		}),
	}
	list.Flags(c)
	return c
}

func (a *accounts) tokenDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete ID", Aliases: []string{"rm"}, Short: "Make a token worthless",
		Long:    "Make a token worthless, at once. `griddle token list` shows the IDs.",
		Example: "  griddle token delete k3v7q2x5m4na", Args: cobra.ExactArgs(1),
		RunE: a.with(func(ctx context.Context, client *api.Client, args []string) error {
			if err := client.DeleteToken(ctx, args[0]); err != nil {
				return err
			}
			return a.e.Printf(struct {
				ID string `json:"id"`
			}{args[0]}, "token %s is deleted", args[0])
		}),
	}
}
