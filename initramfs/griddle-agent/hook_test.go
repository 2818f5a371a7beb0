package main

import (
	"context"
	"errors"
	"reflect"
	"testing"

	tea "github.com/charmbracelet/bubbletea"

	"griddle/appliance/job"
	"griddle/initramfs/hook"
	"griddle/tui"
)

// An answer to an earlier question counts for no later one, and the end of the job ends the question.
func TestAskPerson(t *testing.T) {
	answers := make(chan tui.HookAnswer, 1)
	var shown []tea.Msg
	p := person{answers: answers, show: func(m tea.Msg) { shown = append(shown, m); answers <- tui.HookSkip }}
	answers <- tui.HookGiveUp
	f := hook.Failure{Name: "20-join", Origin: hook.Settings, Reason: "it ended with exit status 3",
		Last: []string{"why"}}
	if a, err := p.Ask(t.Context(), f); a != hook.Skip || err != nil {
		t.Errorf("Ask = %v, %v, want the answer that came after the question", a, err)
	}
	want := []tea.Msg{tui.HookFailed{Name: "20-join", Origin: "settings", Reason: "it ended with exit status 3",
		Last: []string{"why"}}}
	if !reflect.DeepEqual(shown, want) {
		t.Errorf("the screen got %+v, want %+v", shown, want)
	}
	for given, want := range map[tui.HookAnswer]hook.Answer{tui.HookRetry: hook.Retry, tui.HookShell: hook.Shell,
		tui.HookGiveUp: hook.GiveUp} {
		p.show = func(tea.Msg) { answers <- given }
		if a, err := p.Ask(t.Context(), f); a != want || err != nil {
			t.Errorf("Ask = %v, %v, want %v", a, err, want)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	p.show = func(tea.Msg) { cancel(errCancelled) }
	if _, err := p.Ask(ctx, f); !errors.Is(err, errCancelled) {
		t.Errorf("Ask when the job is cancelled = %v", err)
	}
}

// Only a job that was chosen on the screen has a person.
func TestPersonOfJob(t *testing.T) {
	s := &station{screen: &screen{}}
	if p := s.person(tui.Found{Welcome: job.Welcome{Job: &job.Spec{}}}); p != nil {
		t.Errorf("an operator's job has the person %v", p)
	}
	if s.person(tui.Found{}) == nil {
		t.Error("a job of the screen has no person")
	}
}
