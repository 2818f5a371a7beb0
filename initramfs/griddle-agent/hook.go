package main

import (
	"context"
	"os"

	tea "github.com/charmbracelet/bubbletea"

	"griddle/initramfs/console"
	"griddle/initramfs/hook"
	"griddle/tui"
)

// person is who sits at the screen and decides about hooks that fail.
type person struct {
	show    func(tea.Msg)
	answers <-chan tui.HookAnswer
	lend    func(greeting string, use func(tty *os.File, path string) error) error
}

// person is nil for a job that an operator gave: no one may be at the machine.
func (s *station) person(found tui.Found) hook.Person {
	if found.Welcome.Job != nil {
		return nil
	}
	return person{show: s.screen.send, answers: s.answers, lend: s.screen.lend}
}

// Ask implements hook.Person.
func (p person) Ask(ctx context.Context, f hook.Failure) (hook.Answer, error) {
	select {
	case <-p.answers: // to an earlier question, given on another console
	default:
	}
	p.show(tui.HookFailed{Name: f.Name, Origin: string(f.Origin), Reason: f.Reason, Last: f.Last, Secret: f.Secret})
	select {
	case <-ctx.Done():
		return hook.GiveUp, context.Cause(ctx)
	case a := <-p.answers:
		return map[tui.HookAnswer]hook.Answer{tui.HookRetry: hook.Retry, tui.HookSkip: hook.Skip,
			tui.HookShell: hook.Shell, tui.HookGiveUp: hook.GiveUp}[a], nil
	}
}

// Terminal implements hook.Person.
func (p person) Terminal(greeting string, use func(tty *os.File, term string) error) error {
	return p.lend(greeting, func(tty *os.File, path string) error { return use(tty, console.Term(path)) })
}
