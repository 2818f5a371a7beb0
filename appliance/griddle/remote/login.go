package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/appliance/remotes"
)

// LoginCommand is `griddle login`.
func LoginCommand(e *cli.Env) *cobra.Command {
	var l login
	c := &cobra.Command{
		Use: "login [URL]", Short: "Get a token for a server by your account, and use that server",
		Long: "Get a token for a server by the name and the password of your account, keep it on this computer, and\n" +
			"make that server the current one. The first time, you compare the fingerprint of the server's CA\n" +
			"with what `griddle key ca show` prints on the server; later the server must have that CA. Without a\n" +
			"URL the server is the one of --remote, or the current one.",
		Example: "  griddle login https://10.0.0.1:8443 --user ada\n  griddle login --remote lab",
		Args:    cobra.MaximumNArgs(1),
	}
	l.known.flags(c)
	c.Flags().StringVar(&l.remote, "remote", "", "`NAME` of the server on this computer; for a new one, without it, "+
		"its host's")
	c.Flags().StringVar(&l.user, "user", "", "`NAME` of your account; without it you are asked")
	c.Flags().StringVar(&l.file, "password-file", "", "`FILE` with your password, in its first line")
	c.Flags().BoolVar(&l.browser, "browser", false, "log in at the site's identity provider, with a browser on this "+
		"computer; the token is valid for 12 hours at most")
	c.MarkFlagsMutuallyExclusive("browser", "user")
	c.MarkFlagsMutuallyExclusive("browser", "password-file")
	c.Flags().DurationVar(&l.life, "for", 0, "how long the token is valid, such as 12h; without it 7 days, at most 90")
	_ = c.RegisterFlagCompletionFunc("remote", e.CompleteRemotes)
	c.RunE = func(c *cobra.Command, args []string) error {
		made, err := l.run(c.Context(), e, args)
		if err != nil {
			return err
		}
		return e.Printf(made, "logged in to %s as %s, until %s", made.Name, made.Account,
			made.Until.Local().Format("2006-01-02 15:04"))
	}
	return c
}

type login struct {
	known              trust
	remote, user, file string
	life               time.Duration
	browser            bool
}

// run logs in, and returns the server as it is kept now.
func (l *login) run(ctx context.Context, e *cli.Env, args []string) (Listed, error) {
	f, err := e.Remotes()
	if err != nil {
		return Listed{}, err
	}
	name, s, err := l.server(f, args)
	if err != nil {
		return Listed{}, err
	}
	if s.CA == "" || l.known != (trust{}) {
		ca, err := l.known.authority(ctx, e, s.URL)
		if err != nil {
			return Listed{}, err
		}
		s.CA = string(ca)
	}
	conf, err := job.PinnedTLS([]byte(s.CA))
	if err != nil {
		return Listed{}, err
	}
	made, err := l.token(ctx, e, s.URL, api.NewClient(s.URL, "", conf))
	var p *job.Problem
	if errors.As(err, &p) && p.Status == http.StatusNotFound {
		return Listed{}, cli.WithHint(err, "The server is too old for accounts. Update it, or use its admin.token.")
	}
	if err != nil {
		return Listed{}, cli.ExplainRemote(fmt.Errorf("logging in to %s: %w", s.URL, err))
	}
	s.Token, s.Account, s.Until = made.Secret, made.Token.Account, made.Token.Until
	var after Listed
	err = update(ctx, e, func(f *remotes.File) error {
		f.Servers[name], f.Current = s, name
		after = listed(*f, name)
		return nil
	})
	return after, err
}

// token gets the token, from a server at base.
func (l *login) token(ctx context.Context, e *cli.Env, base string, client *api.Client) (api.MadeToken, error) {
	label, _ := os.Hostname()
	label = job.Printable(label)
	seconds := int64(l.life / time.Second)
	if l.browser {
		ways, err := client.LoginWays(ctx)
		if err == nil && ways.Provider == nil {
			err = cli.WithHint(errors.New("the server has no identity provider"), "Log in with a password.")
		}
		if err != nil {
			return api.MadeToken{}, err
		}
		id, err := browser(ctx, e, *ways.Provider)
		if err != nil {
			return api.MadeToken{}, err
		}
		return client.ProviderLogin(ctx, api.ProviderLogin{Token: id, Label: label, Seconds: seconds})
	}
	user, err := l.user, error(nil)
	if user == "" {
		user, err = cli.Ask(e, "logging in", "Name of your account on "+base+":", "Give --user NAME.")
		if err != nil {
			return api.MadeToken{}, err
		}
	}
	password, err := e.Password("logging in", l.file)
	if err != nil {
		return api.MadeToken{}, err
	}
	return client.Login(ctx, api.Login{Name: user, Password: password, Label: label, Seconds: seconds})
}

// server returns which server the user means, by its name and as it is kept so far.
func (l *login) server(f remotes.File, args []string) (string, remotes.Server, error) {
	name := l.remote
	if len(args) == 0 {
		if name == "" {
			name = f.Current
		}
		s, ok := f.Servers[name]
		if !ok {
			return "", s, cli.WithHint(cli.Usagef("nothing says which server"), "Give its URL: griddle login "+
				"https://HOST:8443.")
		}
		return name, s, nil
	}
	base, err := remotes.CleanURL(args[0])
	if err != nil {
		return "", remotes.Server{}, cli.Usage(err)
	}
	if name == "" {
		name = f.At(base)
	}
	if name == "" {
		name = nameOf(base)
	}
	if err := remotes.CheckName(name); err != nil {
		return "", remotes.Server{}, cli.Usage(fmt.Errorf("%w; give another one with --remote", err))
	}
	s := f.Servers[name]
	if s.URL != base {
		if s.URL != "" && l.remote == "" {
			return "", s, cli.WithHint(cli.Usagef("the name %s is that of %s", name, s.URL), "Give another one with "+
				"--remote.")
		}
		s = remotes.Server{URL: base}
	}
	return name, s, nil
}

// nameOf is a name for a new server: its host's.
func nameOf(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	host := u.Hostname()
	if net.ParseIP(host) == nil {
		host, _, _ = strings.Cut(host, ".")
	}
	return regexp.MustCompile(`[^a-z0-9._-]+`).ReplaceAllString(host, "-")
}

// LogoutCommand is `griddle logout`.
func LogoutCommand(e *cli.Env) *cobra.Command {
	c := &cobra.Command{
		Use: "logout", Short: "Make your token for a server worthless, and forget it",
		Long: "Make the token that `griddle login` got worthless, and forget it. The server stays known, and its\n" +
			"CA. Without --remote the server is the current one.",
		Example: "  griddle logout\n  griddle logout --remote lab",
		Args:    cobra.NoArgs,
	}
	var name string
	c.Flags().StringVar(&name, "remote", "", "`NAME` of the server on this computer")
	_ = c.RegisterFlagCompletionFunc("remote", e.CompleteRemotes)
	c.RunE = func(c *cobra.Command, _ []string) error {
		f, err := e.Remotes()
		if err != nil {
			return err
		}
		if name == "" {
			name = f.Current
		}
		s, ok := f.Servers[name]
		if !ok {
			return cli.UnknownServer(name)
		}
		if s.Token != "" {
			conf, err := job.PinnedTLS([]byte(s.CA))
			if err != nil {
				return err
			}
			var p *job.Problem
			err = api.NewClient(s.URL, s.Token, conf).Logout(c.Context())
			if err != nil && (!errors.As(err, &p) || p.Status != http.StatusUnauthorized) {
				return cli.WithHint(cli.ExplainRemote(err), "The token is still valid, and still kept here. `griddle "+
					"remote delete %s` forgets it without that.", name)
			}
		}
		var after Listed
		err = update(c.Context(), e, func(f *remotes.File) error {
			s := f.Servers[name]
			s.Token, s.Account, s.Until = "", "", time.Time{}
			f.Servers[name] = s
			after = listed(*f, name)
			return nil
		})
		if err != nil {
			return err
		}
		return e.Printf(after, "logged out of %s", name)
	}
	return c
}
