package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// ExitError ends the program with the exit code of what it ran. Nothing is printed.
type ExitError int

// Error gives the code.
func (e ExitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// The exit codes. A command that runs another program, such as `griddle cloud ssh`, ends with that one's.
const (
	ExitDone   = 0
	exitFailed = 1
	exitUsage  = 2   // the command line is wrong, and nothing was done
	exitEnded  = 130 // by a signal, as shells have it for SIGINT
)

// usageError is an error in how the program was called; it gives exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Usage makes err an error in how the program was called.
func Usage(err error) error { return usageError{err} }

// Usagef makes a new error in how the program was called.
func Usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// hintError is an error with what a person should do next.
type hintError struct {
	error
	hint string
}

func (e hintError) Unwrap() error { return e.error }

// HintOf returns what a person should do about err; empty if that is not known.
func HintOf(err error) string {
	var hint hintError
	errors.As(err, &hint)
	return hint.hint
}

// WithHint adds to err, unless it is nil, a line that says what to do next.
func WithHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return hintError{err, fmt.Sprintf(format, args...)}
}

// failure is an error for programs.
type failure struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
	Exit  int    `json:"exit"` // the exit code
}

// Exit writes err to standard error, as text or in the format of --output, and returns the exit code.
func (e *Env) Exit(err error) int {
	if err == nil {
		return ExitDone
	}
	var code ExitError
	if errors.As(err, &code) {
		return int(code)
	}
	err = explainStore(explainCatalog(err))
	f := failure{Error: err.Error(), Hint: HintOf(err), Exit: exitFailed}
	var called usageError
	switch {
	case errors.As(err, &called):
		f.Exit = exitUsage
	case errors.Is(err, context.Canceled):
		f.Exit = exitEnded
	}
	switch e.Out.format {
	case JSON:
		_ = writeJSON(e.Stderr, f)
	case YAML:
		_ = writeYAML(e.Stderr, f)
	default:
		name := "griddle:"
		if e.Colors(e.Stderr) {
			name = colors[Bad] + name + noColors
		}
		fmt.Fprintf(e.Stderr, "%s %s\n", name, strings.ReplaceAll(f.Error, "\n", "\n  "))
		if f.Hint != "" {
			fmt.Fprintf(e.Stderr, "  %s\n", f.Hint)
		}
	}
	return f.Exit
}
