package image

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"time"

	"griddle/appliance/griddle/cli"
	"griddle/imagestore"
	"griddle/imagestore/remote"
)

// openSSH runs `griddle store serve --stdio` on another host, and opens the store that it serves.
func openSSH(ctx context.Context, e *cli.Env, where string, create bool) (st *imagestore.Store, closed func(),
	err error) {
	args, err := sshCommand(e.Getenv("GRIDDLE_SSH"), where, create)
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stderr = e.Stderr // what ssh, or the program there, has to say
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
		return nil, nil, cli.WithHint(fmt.Errorf("running ssh: %w", err), "Install openssh-client, or name another "+
			"command in GRIDDLE_SSH.")
	}
	conn := remote.NewConn(out, in)
	return remote.OpenConn(conn), func() {
		conn.Close()
		cmd.Wait() // how it ended tells nothing: what matters came over the connection
	}, nil
}

// sshCommand is the command for ssh://[USER@]HOST[:PORT]/DIR.
func sshCommand(program, where string, create bool) ([]string, error) {
	u, err := url.Parse(where)
	if err != nil {
		return nil, cli.Usage(fmt.Errorf("reading the store's URL: %w", err))
	}
	_, password := u.User.Password()
	if u.Scheme != "ssh" || u.Hostname() == "" || strings.Trim(u.Path, "/") == "" || u.RawQuery != "" ||
		u.Fragment != "" || password {
		return nil, cli.Usagef("%q is not of the form ssh://[USER@]HOST[:PORT]/DIR", where)
	}
	args := strings.Fields(program)
	if len(args) == 0 {
		args = []string{"ssh", "-T"}
	}
	// Neither may be taken for an option.
	if strings.HasPrefix(u.Hostname(), "-") || strings.HasPrefix(u.User.Username(), "-") {
		return nil, cli.Usagef("%q names no host", where)
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
