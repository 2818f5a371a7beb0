// Package remote is `griddle remote`, `griddle login` and `griddle logout`: the servers that a user's commands use.
package remote

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/remotes"
)

// Command is `griddle remote`.
func Command(e *cli.Env) *cobra.Command {
	return cli.Group("remote", "Keep the servers that commands on this computer use",
		"Keep the servers that commands on this computer use, each with a name, its CA and your token.\n"+
			"Commands use the current one, unless --remote, --server or --store says otherwise.",
		addCommand(e), listCommand(e), switchCommand(e), deleteCommand(e))
}

// Listed is one of the list.
type Listed struct {
	Name    string    `json:"name"`
	Current bool      `json:"current"`
	URL     string    `json:"url"`
	Account string    `json:"account,omitempty"`
	Token   bool      `json:"token"` // there is one
	Until   time.Time `json:"until,omitzero"`
}

func listed(f remotes.File, name string) Listed {
	s := f.Servers[name]
	return Listed{Name: name, Current: name == f.Current, URL: s.URL, Account: s.Account, Token: s.Token != "",
		Until: s.Until}
}

var columns = []cli.Column[Listed]{
	{Name: "name", Text: func(l Listed) string { return l.Name }},
	{Name: "current", Text: func(l Listed) string {
		if l.Current {
			return "yes"
		}
		return ""
	}, Tone: func(Listed) cli.Tone { return cli.Good }},
	{Name: "url", Text: func(l Listed) string { return l.URL }},
	{Name: "account", Text: func(l Listed) string { return l.Account }},
	{Name: "token", Text: func(l Listed) string {
		switch {
		case !l.Token:
			return "none"
		case l.Until.IsZero():
			return "does not expire"
		case time.Now().After(l.Until):
			return "expired"
		}
		return "until " + l.Until.Local().Format("2006-01-02 15:04")
	}},
}

func listCommand(e *cli.Env) *cobra.Command {
	list := cli.List[Listed]{Columns: columns}
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the servers that this computer knows",
		Long:    "List the servers that this computer knows, by name. No token is shown.",
		Example: "  griddle remote list", Args: cobra.NoArgs,
	}
	list.Flags(c)
	c.RunE = func(*cobra.Command, []string) error {
		f, err := e.Remotes()
		if err != nil {
			return err
		}
		all := []Listed{}
		for _, name := range f.Names() {
			all = append(all, listed(f, name))
		}
		return list.Print(e, all)
	}
	return c
}

func addCommand(e *cli.Env) *cobra.Command {
	var known trust
	var tokenFile string
	c := &cobra.Command{
		Use: "add NAME URL", Short: "Give a server a name, and keep its CA",
		Long: "Give a server a name, and keep its CA and, if you have one, your token for it. Without --ca the\n" +
			"server says which CA it has, and you compare its fingerprint with what `griddle key ca show` prints\n" +
			"on the server. A server that has the name already is replaced.",
		Example: "  griddle remote add lab https://10.0.0.1:8443 --ca ca.pem --token-file lab.token",
		Args:    cobra.ExactArgs(2),
	}
	known.flags(c)
	c.Flags().StringVar(&tokenFile, "token-file", "", "`FILE` with your token, which is kept too")
	c.RunE = func(c *cobra.Command, args []string) error {
		base, err := remotes.CleanURL(args[1])
		if err == nil {
			err = remotes.CheckName(args[0])
		}
		if err != nil {
			return cli.Usage(err)
		}
		s := remotes.Server{URL: base}
		if tokenFile != "" {
			if s.Token, err = e.ReadToken("the token", tokenFile); err != nil {
				return err
			}
		}
		ca, err := known.authority(c.Context(), e, base)
		if err != nil {
			return err
		}
		s.CA = string(ca)
		var after Listed
		err = update(c.Context(), e, func(f *remotes.File) error {
			f.Servers[args[0]] = s
			after = listed(*f, args[0])
			return nil
		})
		if err != nil {
			return err
		}
		if !after.Current {
			e.Say(fmt.Sprintf("`griddle remote switch %s` makes it the one that commands use", args[0]))
		}
		return e.Printf(after, "%s is %s", after.Name, after.URL)
	}
	return c
}

func switchCommand(e *cli.Env) *cobra.Command {
	return &cobra.Command{
		Use: "switch NAME", Short: "Choose the server that commands use",
		Long: "Choose the server that commands on this computer use from now on. The name local means the server\n" +
			"and the store of this computer itself.",
		Example: "  griddle remote switch lab\n  griddle remote switch local",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: e.CompleteRemotes,
		RunE: func(c *cobra.Command, args []string) error {
			after := Listed{Name: remotes.Local, Current: true}
			err := update(c.Context(), e, func(f *remotes.File) error {
				f.Current = ""
				if args[0] == remotes.Local {
					return nil
				}
				if _, ok := f.Servers[args[0]]; !ok {
					return cli.UnknownServer(args[0])
				}
				f.Current = args[0]
				after = listed(*f, args[0])
				return nil
			})
			if err != nil {
				return err
			}
			if after.Name == remotes.Local {
				return e.Printf(after, "commands use the server of this computer")
			}
			return e.Printf(after, "commands use %s, %s", after.Name, after.URL)
		},
	}
}

func deleteCommand(e *cli.Env) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Aliases: []string{"rm"}, Short: "Forget a server, and the token for it",
		Long: "Forget a server, its CA and your token for it. The token stays valid; `griddle logout` makes it\n" +
			"worthless first.",
		Example: "  griddle remote delete lab",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: e.CompleteRemotes,
		RunE: func(c *cobra.Command, args []string) error {
			var gone Listed
			err := update(c.Context(), e, func(f *remotes.File) error {
				if _, ok := f.Servers[args[0]]; !ok {
					return cli.UnknownServer(args[0])
				}
				gone = listed(*f, args[0])
				delete(f.Servers, args[0])
				if gone.Current {
					f.Current = ""
				}
				return nil
			})
			if err != nil {
				return err
			}
			return e.Printf(gone, "%s, %s, is forgotten", gone.Name, gone.URL)
		},
	}
}

// update changes the file of the user's servers.
func update(ctx context.Context, e *cli.Env, do func(*remotes.File) error) error {
	path, err := e.RemotesPath()
	if err == nil && path == "" {
		err = cli.Usagef("neither HOME nor XDG_CONFIG_HOME says where the servers are kept")
	}
	if err != nil {
		return err
	}
	return remotes.Update(ctx, path, do)
}
