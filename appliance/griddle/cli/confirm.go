package cli

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Confirm asks the user on the terminal before a change. It returns nil if the answer is yes, or if yes is set. doing
// names the change in errors: "deleting web:1".
func Confirm(e *Env, yes bool, doing, question string) error {
	if yes {
		return nil
	}
	line, err := ask(e, doing, question+" [y/N]", "Give --yes to do it without a question.")
	if a := strings.ToLower(line); err != nil || a == "y" || a == "yes" {
		return err
	}
	return fmt.Errorf("%s: cancelled, nothing was changed", doing)
}

// Typed has the user type want on the terminal before a change that loses data, so that no habit agrees to it. doing is
// as for Confirm, and hint says what to do without a terminal.
func Typed(e *Env, want, doing, question, hint string) error {
	line, err := ask(e, doing, question, hint)
	if err != nil || line == want {
		return err
	}
	return fmt.Errorf("%s: that is not %q, and nothing was changed", doing, want)
}

// ask asks a question on the terminal, and returns the answer without spaces around it.
func ask(e *Env, doing, question, hint string) (string, error) {
	f, ok := e.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", WithHint(Usagef("%s: this asks a question first, and standard input is not a "+
			"terminal", doing), "%s", hint)
	}
	fmt.Fprintf(e.Stderr, "%s ", question)
	line, err := bufio.NewReader(f).ReadString('\n')
	if err != nil && line == "" {
		fmt.Fprintln(e.Stderr)
	}
	return strings.TrimSpace(line), nil
}

// YesFlag adds -y, the answer to the questions of Confirm.
func YesFlag(c *cobra.Command, yes *bool) {
	c.Flags().BoolVarP(yes, "yes", "y", false, "answer yes to the question, and do not ask")
}
