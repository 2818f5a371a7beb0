package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/recoverykey"
	"griddle/appliance/setting"
	"griddle/tui"
)

// answers is a server that gives one answer after the other, the last one again and again.
type answers struct {
	t     *testing.T
	list  []any // job.Settings or error
	asked int
	polls int
	shown []string
	told  []string
}

func (a *answers) asker() *asker {
	return &asker{what: "settings", waits: "the settings of this machine have secrets: they wait",
		ask: func(context.Context) (job.Settings, error) {
			next := a.list[min(a.asked, len(a.list)-1)]
			a.asked++
			if err, ok := next.(error); ok {
				return job.Settings{}, err
			}
			return next.(job.Settings), nil
		},
		poll: func(context.Context) error { a.polls++; return nil },
		show: func(w tui.Waiting) { a.shown = append(a.shown, w.Code+"/"+w.Lost) },
		tell: func(level job.Level, message string) { a.told = append(a.told, fmt.Sprint(level, " ", message)) },
	}
}

func ready(text string) job.Settings {
	return job.Settings{State: job.Ready, Settings: json.RawMessage(text)}
}

// TestSettingsWait: the code is shown until an operator has approved it, and a server that is gone is waited for. The
// code is in no event: an operator has to read it from the screen.
func TestSettingsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waiting := job.Settings{State: job.Waiting, Code: "7K4M-QX2D"}
		a := &answers{t: t, list: []any{errors.New("lost"), waiting, waiting, errors.New("lost"), errors.New("lost"),
			job.NewProblem(http.StatusServiceUnavailable, "restarting"), waiting, ready(`{"hostname": "lab-1"}`)}}
		began := time.Now()
		s, err := a.asker().wait(t.Context())
		if err != nil || s.Hostname != "lab-1" || time.Since(began) != 7*askEvery || a.polls != 7 {
			t.Errorf("wait() = %+v, %v after %s and %d polls", s, err, time.Since(began), a.polls)
		}
		const gone = "the server does not answer (no answer); trying again"
		want := []string{"/" + gone, "7K4M-QX2D/", "7K4M-QX2D/" + gone, "7K4M-QX2D/the server refused: restarting",
			"7K4M-QX2D/", "/"}
		if got := strings.Join(a.shown, "\n"); got != strings.Join(want, "\n") {
			t.Errorf("shown:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
		}
		told := strings.Join(a.told, "\n")
		if strings.Contains(told, "7K4M") || len(a.told) != 5 ||
			!strings.Contains(told, "an operator approved this boot") {
			t.Errorf("told:\n%s", told)
		}
	})
}

// TestSettingsEnd: a job that is over, a refusal, and what is not settings end the wait; nothing was written then.
func TestSettingsEnd(t *testing.T) {
	waiting := job.Settings{State: job.Waiting, Code: "7K4M-QX2D"}
	for name, c := range map[string]struct {
		list []any
		want string
	}{
		"over":            {[]any{waiting}, "the server has ended this job"},
		"over, no server": {[]any{errors.New("lost")}, "the server has ended this job"},
		"refused": {[]any{waiting, job.NewProblem(http.StatusForbidden, "another boot has the job")},
			"another boot"},
		"no code":           {[]any{job.Settings{State: job.Waiting}}, "without a code"},
		"no state":          {[]any{job.Settings{Settings: json.RawMessage(`{}`)}}, "without a code"},
		"no settings":       {[]any{ready("")}, "it is not JSON"},
		"not JSON":          {[]any{ready(`{"hostname": `)}, "it is not JSON"},
		"an unknown key":    {[]any{ready(`{"hostnam": "x"}`)}, "did you mean hostname?"},
		"a password":        {[]any{ready(`{"root": {"password": "hunter2"}}`)}, "a password in plain text is refused"},
		"a path":            {[]any{ready(`{"files": [{"path": "../etc/x"}]}`)}, "files[../etc/x]"},
		"not for a machine": {[]any{ready(`{"hostname": "{name}"}`)}, "{name}"},
		"too large": {[]any{ready(`{"userData": "` + strings.Repeat("x", setting.MaxDocument) + `"}`)},
			"the limit is"},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &answers{t: t, list: c.list}
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			r := a.asker()
			r.poll = func(context.Context) error {
				if a.polls++; a.polls == 3 {
					cancel(errCancelled)
				}
				return nil
			}
			s, err := r.wait(ctx)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: wait() = %+v, %v, want %q", name, s, err, c.want)
			}
			if last := a.shown[len(a.shown)-1]; last != "/" {
				t.Errorf("%s: the screen still shows %q", name, last)
			}
		})
	}
}

// TestRecoveryKeys: the keys are checked, and are in no error and no event.
func TestRecoveryKeys(t *testing.T) {
	one, two := recoverykey.New(), recoverykey.New()
	given := func(keys ...string) []any {
		return []any{job.Settings{State: job.Waiting, Code: "7K4M-QX2D"},
			job.Settings{State: job.Ready, Recovery: keys}}
	}
	synctest.Test(t, func(t *testing.T) {
		a := &answers{t: t, list: given(one, two)}
		if got, err := a.asker().keys(t.Context()); err != nil || len(got) != 2 || got[0] != one || got[1] != two {
			t.Errorf("keys() = %q, %v", got, err)
		}
		if told := strings.Join(a.told, "\n"); strings.Contains(told, one[:17]) || len(a.told) != 2 {
			t.Errorf("told:\n%s", told)
		}
	})
	for name, keys := range map[string][]string{"none": nil, "too many": make([]string, job.MaxRecovery+1),
		"no key": {one, two + "c"}} {
		synctest.Test(t, func(t *testing.T) {
			a := &answers{t: t, list: given(keys...)}
			if got, err := a.asker().keys(t.Context()); err == nil || got != nil ||
				strings.Contains(err.Error(), two[:17]) {
				t.Errorf("%s: keys() = %q, %v", name, got, err)
			}
		})
	}
}
