package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/imagestore"
)

// openSSH runs `griddle store serve --stdio` on another host, and opens the store that it serves.
func openSSH(ctx context.Context, e *env, where string, create bool) (st *imagestore.Store, closed func(), err error) {
	args, err := sshCommand(e.getenv("GRIDDLE_SSH"), where, create)
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stderr = e.stderr // what ssh, or the program there, has to say
	cmd.WaitDelay = 5 * time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, fmt.Errorf("running ssh: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, fmt.Errorf("running ssh: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, withHint(fmt.Errorf("running ssh: %w", err), "Install openssh-client, or name another command in GRIDDLE_SSH.")
	}
	conn := imagestore.NewConn(out, in)
	return imagestore.OpenConn(conn), func() {
		conn.Close()
		cmd.Wait() // how it ended tells nothing: what matters came over the connection
	}, nil
}

// sshCommand is the command for ssh://[USER@]HOST[:PORT]/DIR.
func sshCommand(program, where string, create bool) ([]string, error) {
	u, err := url.Parse(where)
	if err != nil {
		return nil, usage(fmt.Errorf("reading the store's URL: %w", err))
	}
	_, password := u.User.Password()
	if u.Scheme != "ssh" || u.Hostname() == "" || strings.Trim(u.Path, "/") == "" || u.RawQuery != "" || u.Fragment != "" || password {
		return nil, usagef("%q is not of the form ssh://[USER@]HOST[:PORT]/DIR", where)
	}
	args := strings.Fields(program)
	if len(args) == 0 {
		args = []string{"ssh", "-T"}
	}
	// Neither may be taken for an option.
	if strings.HasPrefix(u.Hostname(), "-") || strings.HasPrefix(u.User.Username(), "-") {
		return nil, usagef("%q names no host", where)
	}
	if p := u.Port(); p != "" {
		args = append(args, "-p", p)
	}
	host := u.Hostname()
	if n := u.User.Username(); n != "" {
		host = n + "@" + host
	}
	// ssh hands one line to the shell there.
	line := "griddle store serve --stdio --store '" + strings.ReplaceAll(u.Path, "'", `'\''`) + "'"
	if create {
		line += " --create"
	}
	return append(args, host, line), nil
}

// storeCommand is `griddle store`.
func storeCommand(e *env) *cobra.Command {
	return group("store", "Serve an image store", "Serve an image store to another host.", storeServeCommand(e))
}

func storeServeCommand(e *env) *cobra.Command {
	var store storeFlags
	var stdio, create bool
	c := &cobra.Command{
		Use:   "serve --stdio",
		Short: "Serve an image store over standard input and output",
		Long: "Serve an image store over standard input and output, to read and to write: what `griddle image pull|push` run over ssh\n" +
			"on the other host. Whoever may run this command may change the store.",
		Args: cobra.NoArgs,
	}
	store.add(c)
	c.Flags().BoolVar(&stdio, "stdio", false, "over standard input and output, which is the only way there is")
	c.Flags().BoolVar(&create, "create", false, "make the store where there is none")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if !stdio {
			return withHint(usagef("it is not said where to serve"), "Give --stdio; `griddle serve` serves the appliance's store.")
		}
		if isTerminal(e.stdout) {
			return usagef("standard output is a terminal, and this is not for reading")
		}
		st, err := openStore(e, store, create)
		if err != nil {
			return err
		}
		in, ok := e.stdin.(io.ReadCloser)
		out, ok2 := e.stdout.(io.WriteCloser)
		if !ok || !ok2 {
			return errors.New("serving store: standard input and output are no files")
		}
		return imagestore.ServeConn(c.Context(), st, imagestore.NewConn(in, out))
	}
	return c
}
