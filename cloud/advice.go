package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"griddle/cloud/provider"
	"griddle/cloud/provider/retry"
	"griddle/cloud/state"
)

// Advice says what a person does about a failure, in one sentence.
func Advice(err error) string {
	again := "then run the same command again: it continues where this one stopped"
	var held *state.HeldError
	switch {
	case errors.As(err, &held):
		return "wait until that command has ended, or end it; the lock goes with it"
	case errors.Is(err, context.Canceled):
		return "it was interrupted; run the same command again: it continues where this one stopped"
	case errors.Is(err, provider.ErrCredentials):
		return "renew the provider's credentials, " + again
	case errors.Is(err, provider.ErrQuota):
		return "have the provider raise the quota, or remove something there, " + again
	case errors.Is(err, provider.ErrTaken):
		return "something that griddle did not make has the name: rename or remove it at the provider, or give the " +
			"stack another name"
	case errors.Is(err, provider.ErrUnsupported), errors.Is(err, provider.ErrInvalid):
		return "change the stack file, " + again
	case errors.Is(err, ErrFirstBoot):
		names := bootFailures(err)
		one := append(names, "SERVER")[0]
		return fmt.Sprintf("fix the image or the stack file, then replace the server with `griddle cloud up "+
			"--rebuild %s`; `griddle cloud ssh %s` and `griddle cloud console %s` show more",
			strings.Join(append(names, "SERVER")[:max(1, len(names))], ","), one, one)
	case errors.Is(err, retry.ErrLate):
		return "read the log; if the time was too short, raise it in the settings of the stack file, " + again
	case errors.Is(err, provider.ErrUnreachable):
		return "look at the network and at the address (the region, the endpoint or the socket in the stack file or " +
			"in the provider's own files), " + again
	case errors.Is(err, provider.ErrTemporary):
		return "wait until the provider answers again, " + again
	}
	return "read the log, fix the cause, " + again
}

// bootFailures names the servers whose first boot failed.
func bootFailures(err error) (names []string) {
	if boot, ok := err.(*BootError); ok {
		return []string{boot.Server}
	}
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			names = append(names, bootFailures(inner)...)
		}
	case interface{ Unwrap() error }:
		names = bootFailures(e.Unwrap())
	}
	return names
}

// Printer is a Cloud.Report that writes lines for people:
//
//	[5/7] role web
//	      server web-1 is made
//	[5/7] done in 41s
func Printer(w io.Writer) func(Event) {
	return func(e Event) {
		switch {
		case e.Done && e.Err != nil:
			var stage *StageError
			cause := e.Err
			if errors.As(e.Err, &stage) {
				cause = stage.Err
			}
			fmt.Fprintf(w, "[%d/%d] %s failed after %s: %v\n", e.Stage, e.Of, e.Title, seconds(e.Took), cause)
			fmt.Fprintf(w, "      the log is %s\n      what to do: %s\n", e.Log, Advice(e.Err))
		case e.Done:
			fmt.Fprintf(w, "[%d/%d] done in %s\n", e.Stage, e.Of, seconds(e.Took))
		case e.Text != "":
			fmt.Fprintf(w, "      %s\n", strings.ReplaceAll(e.Text, "\n", "\n      "))
		default:
			fmt.Fprintf(w, "[%d/%d] %s\n", e.Stage, e.Of, e.Title)
		}
	}
}

func seconds(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }
