package cli

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

// Password returns a password that exists: the first line of a file, or what the user types on the terminal. doing is
// as for Confirm.
func (e *Env) Password(doing, file string) (string, error) {
	if file != "" {
		b, err := ReadSmall(file)
		if err != nil {
			return "", fmt.Errorf("reading the password: %w", err)
		}
		line, _, _ := strings.Cut(string(b), "\n")
		return strings.TrimSuffix(line, "\r"), nil
	}
	return e.hidden(doing, "Password:")
}

// NewPassword is Password for a new one, which is typed twice.
func (e *Env) NewPassword(doing, file string) (string, error) {
	if file != "" {
		return e.Password(doing, file)
	}
	first, err := e.hidden(doing, "New password:")
	if err != nil {
		return "", err
	}
	second, err := e.hidden(doing, "The same again:")
	if err == nil && first != second {
		err = fmt.Errorf("%s: the two passwords are not the same; nothing was changed", doing)
	}
	return first, err
}

// hidden asks for something that is not shown while it is typed.
func (e *Env) hidden(doing, question string) (string, error) {
	f, ok := e.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", WithHint(Usagef("%s: this asks for a password, and standard input is not a terminal", doing),
			"Give --password-file FILE.")
	}
	fmt.Fprint(e.Stderr, question+" ")
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(e.Stderr)
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	return string(b), nil
}

// Ask asks for a line on the terminal. hint says what to do without one.
func Ask(e *Env, doing, question, hint string) (string, error) { return ask(e, doing, question, hint) }
