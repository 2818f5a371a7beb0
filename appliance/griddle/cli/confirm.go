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
	f, ok := e.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return WithHint(Usagef("%s: this asks a question first, and standard input is not a "+
			"terminal", doing), "Give --yes to do it without a question.")
	}
	fmt.Fprintf(e.Stderr, "%s [y/N] ", question)
	line, err := bufio.NewReader(f).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(line)); a == "y" || a == "yes" {
		return nil
	}
	if err != nil && line == "" {
		fmt.Fprintln(e.Stderr)
	}
	return fmt.Errorf("%s: cancelled, nothing was changed", doing)
}

// YesFlag adds -y, the answer to the questions of Confirm.
func YesFlag(c *cobra.Command, yes *bool) {
	c.Flags().BoolVarP(yes, "yes", "y", false, "answer yes to the question, and do not ask")
}
