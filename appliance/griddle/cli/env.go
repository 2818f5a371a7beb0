// Package cli is what all commands of griddle share: what they have of the world around them (Env), how they find a
// store (StoreFlags) and the server (Remote), how they ask (Confirm), print (Env.Print, List), show progress
// (Progress) and fail (Usage, WithHint, Env.Exit).
//
// A package of commands calls Group for its group and adds flags by the types here, so that a flag means the same
// everywhere.
package cli

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// Env is what a command has of the world around it.
type Env struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Getenv func(string) string

	Out Output
}

// Warn tells the user of something that needs attention, unless --quiet is given.
func (e *Env) Warn(sentence string) { e.Say("warning: " + sentence) }

// Say tells the user something beside the result, unless --quiet is given.
func (e *Env) Say(sentence string) {
	if !e.Out.Quiet {
		fmt.Fprintf(e.Stderr, "griddle: %s\n", sentence)
	}
}

// IsTerminal says whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
