package cli

import (
	"errors"
	"fmt"
	"strings"
)

// ExitError ends the program with the exit code of what it ran, and without a word.
type ExitError int

// Error gives the code.
func (e ExitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// The exit codes.
const (
	ExitDone   = 0
	exitFailed = 1
	exitUsage  = 2
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

// HintOf is what a person should do about err; empty where no one said that.
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

// Exit writes err for a person and turns it into an exit code.
func (e *Env) Exit(err error) int {
	if err == nil {
		return ExitDone
	}
	var code ExitError
	if errors.As(err, &code) {
		return int(code)
	}
	err = explainStore(explainCatalog(err))
	fmt.Fprintf(e.Stderr, "griddle: %s\n", strings.ReplaceAll(err.Error(), "\n", "\n  "))
	if hint := HintOf(err); hint != "" {
		fmt.Fprintf(e.Stderr, "  %s\n", hint)
	}
	var called usageError
	if errors.As(err, &called) {
		return exitUsage
	}
	return exitFailed
}
