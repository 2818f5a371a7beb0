// Package cli is what all commands of griddle have in common: what they have of the world around them (Env), how they find a store
// (StoreFlags) and the appliance (Remote), how they ask (Confirm), print (Output), show progress (Progress) and fail (Usage, WithHint, Env.Exit).
//
// A package of commands calls Group for its group, and adds flags by the types here, so that a flag means the same everywhere.
package cli

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

func (e *Env) Warn(sentence string) { e.Say("warning: " + sentence) }

func (e *Env) Say(sentence string) { fmt.Fprintf(e.Stderr, "griddle: %s\n", sentence) }

// Env is what a command has of the world around it.
type Env struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Getenv func(string) string
}

// IsTerminal says whether w is one.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
