package key

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/authority"
	"griddle/appliance/config"
	"griddle/appliance/griddle/cli"
)

// NextCA is the result of `griddle key ca next -o json` and `griddle key ca switch -o json`.
type NextCA struct {
	File string `json:"file"` // path of the certificate
}

func caCommand(e *cli.Env) *cobra.Command {
	c := cli.Group("ca", "Show the CA of a server, or replace it in two steps",
		"Show the certificate authority (CA) that machines and operators know a server by, or replace it in two\n"+
			"steps. After the first one, machines learn the next CA; the second one makes the server use it.",
		caShowCommand(e), caNextCommand(e), caSwitchCommand(e))
	return c
}

// CA is the result of `griddle key ca show -o json`.
type CA struct {
	File        string `json:"file"`
	Fingerprint string `json:"fingerprint"` // SHA-256
}

func caShowCommand(e *cli.Env) *cobra.Command {
	var stateDir string
	c := &cobra.Command{
		Use:   "show",
		Short: "Show the fingerprint of the CA",
		Long: "Show the SHA-256 fingerprint of the CA of the server on this host. `griddle login` shows the one\n" +
			"of the server that it reached: both must be the same. It is also what\n" +
			"`openssl x509 -in ca.pem -noout -fingerprint -sha256` prints.",
		Example: "  griddle key ca show",
		Args:    cobra.NoArgs,
	}
	c.Flags().StringVar(&stateDir, "state-dir", config.Default().StateDir, "the server's state `DIR`")
	c.RunE = func(*cobra.Command, []string) error {
		path := filepath.Join(stateDir, authority.File)
		b, err := cli.ReadSmall(path)
		if errors.Is(err, fs.ErrNotExist) {
			return cli.WithHint(err, "Run this on the host of `griddle serve`, or give its --state-dir.")
		}
		if err != nil {
			return fmt.Errorf("reading the CA: %w", err)
		}
		all, err := authority.Certificates(b)
		if err == nil && len(all) == 0 {
			err = errors.New("it has no certificate")
		}
		if err != nil {
			return fmt.Errorf("reading the CA %s: %w", path, err)
		}
		r := CA{File: path, Fingerprint: authority.Fingerprint(all[0])}
		return e.Printf(r, "%s", r.Fingerprint)
	}
	return c
}

func caNextCommand(e *cli.Env) *cobra.Command {
	var stateDir string
	c := &cobra.Command{
		Use:   "next",
		Short: "Make the CA that will follow, and let machines learn it",
		Long: "Make the CA that will follow the present one. Reload the server then: from now on new boots and new\n" +
			"installs trust both, and so do installed machines after their next check-in. Copy the file that this\n" +
			"command prints to operators' computers, and add it to what they give with --ca.",
		Example: "  griddle key ca next\n  systemctl reload griddle",
		Args:    cobra.NoArgs,
	}
	c.Flags().StringVar(&stateDir, "state-dir", config.Default().StateDir, "the server's state `DIR`")
	c.RunE = func(*cobra.Command, []string) error {
		_, err := authority.MakeNext(stateDir, time.Now())
		path := filepath.Join(stateDir, authority.NextFile)
		switch {
		case errors.Is(err, fs.ErrExist):
			return cli.WithHint(err, "Make it the present one with `griddle key ca switch`, when all machines have "+
				"checked in.")
		case errors.Is(err, fs.ErrNotExist):
			return cli.WithHint(err, "Run this on the host of `griddle serve`, or give its --state-dir.")
		case err != nil:
			return err
		}
		e.Say("reload the server, so that machines learn it: `systemctl reload griddle`")
		return e.Printf(NextCA{path}, "%s", path)
	}
	return c
}

func caSwitchCommand(e *cli.Env) *cobra.Command {
	var stateDir string
	c := &cobra.Command{
		Use:   "switch",
		Short: "Make the next CA the present one",
		Long: "Make the next CA the present one, and forget the one before. Reload the server then. Machines that\n" +
			"have not checked in since `griddle key ca next` do not trust the server any more and must be installed\n" +
			"again: look first at `griddle machine list --columns name,seen,notice`.",
		Example: "  griddle key ca switch\n  systemctl reload griddle",
		Args:    cobra.NoArgs,
	}
	c.Flags().StringVar(&stateDir, "state-dir", config.Default().StateDir, "the server's state `DIR`")
	c.RunE = func(*cobra.Command, []string) error {
		if err := authority.Switch(stateDir); err != nil {
			return err
		}
		path := filepath.Join(stateDir, authority.File)
		e.Say("reload the server, so that it uses it: `systemctl reload griddle`")
		return e.Printf(NextCA{path}, "%s", path)
	}
	return c
}
