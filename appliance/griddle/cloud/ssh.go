package cloud

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/cloud"
)

// remoteCommand is what ssh is to run: nothing, or one word. A "--" before it is this program's and not the
// command's: since the flags end at the server's name, the parser of the command line leaves it where it is.
func remoteCommand(words []string) []string {
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	if len(words) == 0 {
		return nil
	}
	return []string{strings.Join(words, " ")}
}

func (g *Commands) sshCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "ssh SERVER [--] [COMMAND...]",
		Short: "Log in to a server, or run a command there",
		Long: "Log in to a server as the stack's admin, or run a command there; the exit code is that of the\n" +
			"command. The server's host key is known since before the server was created. As with ssh itself, the\n" +
			"words of the command are joined with spaces and read by the server's shell: quote what it must not\n" +
			"split.",
		Example: "  griddle cloud ssh head-1\n  griddle cloud ssh head-1 -- sudo journalctl -b",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: g.one(),
	}
	c.Flags().SetInterspersed(false)
	c.RunE = func(c *cobra.Command, args []string) error {
		x, err := g.open(c.Context(), "ssh")
		if err != nil {
			return err
		}
		targets, err := x.Targets(c.Context(), x.s.Name, cloud.Pick{Servers: args[:1]})
		if err != nil {
			return err
		}
		t := targets[0]
		lines, err := x.keys.KnownHosts(t)
		if err != nil {
			return err
		}
		dir, err := os.MkdirTemp("", "griddle-ssh-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		known := filepath.Join(dir, "known_hosts")
		if err := os.WriteFile(known, []byte(lines), 0o600); err != nil {
			return err
		}
		run := exec.CommandContext(c.Context(), "ssh", append(x.keys.Arguments(t, known),
			remoteCommand(args[1:])...)...)
		run.Stdin, run.Stdout, run.Stderr = g.E.Stdin, g.E.Stdout, g.E.Stderr
		err = run.Run()
		var ended *exec.ExitError
		switch {
		case errors.Is(err, exec.ErrNotFound):
			return cli.WithHint(err, "Install it: apt-get install openssh-client.")
		case errors.As(err, &ended) && ended.ExitCode() > 0:
			return cli.ExitError(ended.ExitCode())
		}
		return err
	}
	return cli.Raw(c)
}
