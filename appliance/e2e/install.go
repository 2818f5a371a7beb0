package e2e

import (
	"context"
	"fmt"
	"strings"
	"time"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// Times are how long after power-on a machine came to each point of its install.
type Times struct {
	Agent    time.Duration // the agent spoke to the server
	Begun    time.Duration // the disk was about to be written
	Done     time.Duration // everything is on the disk
	Restart  time.Duration // the agent restarted the machine
	Login    time.Duration // its own disk's system asks for a login
	Deployed time.Duration // the server heard of that
}

// String is one line for people.
func (t Times) String() string {
	return fmt.Sprintf("agent %s, install begun %s, done %s, restarted %s, login prompt %s, reported %s",
		seconds(t.Agent), seconds(t.Begun), seconds(t.Done), seconds(t.Restart), seconds(t.Login), seconds(t.Deployed))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// Watch waits for a machine that is on and has a job, from the agent's first word to the installed system's report.
func (s *Site) Watch(ctx context.Context, m *Machine) (Times, error) {
	var t Times
	for _, step := range []struct {
		what string
		ok   func(fleet.Entry) bool
		at   *time.Duration
	}{
		{"the agent", func(e fleet.Entry) bool { return e.Boot != "" }, &t.Agent},
		{"the start of the install", InState(job.Started), &t.Begun},
		{"the end of the install", InState(job.Done), &t.Done},
	} {
		e, err := s.WaitJournal(ctx, m, step.what, step.ok)
		if err != nil {
			return t, err
		}
		*step.at = e.Received.Sub(m.on)
	}
	s.room.logf("%s is installed", m.Name)
	reset, err := m.WaitReset(ctx)
	if err != nil {
		return t, err
	}
	t.Restart = reset.At
	if t.Login, err = m.WaitLogin(ctx); err != nil {
		return t, err
	}
	s.room.logf("%s shows its login prompt", m.Name)
	e, err := s.WaitJournal(ctx, m, "the report of the installed system", Deployed)
	if err != nil {
		return t, err
	}
	t.Deployed = e.Received.Sub(m.on)
	return t, nil
}

// WaitLogin waits for the login prompt of the system on the machine's disk, and says when it came. A message of the
// kernel may stand behind the prompt on its line.
func (m *Machine) WaitLogin(ctx context.Context) (time.Duration, error) {
	l, err := m.console.Wait(ctx, `^[a-z0-9-]+ login: `)
	return l.At, err
}

// Login logs root in at the login prompt and waits for the shell. A slow machine may end the login before it asks for
// the password, or takes that for a name: then Login begins again at the next prompt.
func (m *Machine) Login(ctx context.Context) error {
	for {
		in, err := m.login(ctx)
		if in || err != nil {
			return err
		}
		if _, err := m.WaitLogin(ctx); err != nil {
			return err
		}
	}
}

// login answers a login prompt; in is false if that took the machine longer than its login waits.
func (m *Machine) login(ctx context.Context) (in bool, err error) {
	const again = `|Login (timed out|incorrect)`
	for _, step := range []struct{ send, want string }{
		{"root\r", `Password: ` + again},
		{m.Password + "\r", `:~# ` + again},
		{"dmesg -n 1\r", `:~# $`}, // the kernel's messages would come between what commands print
	} {
		if err := m.console.Send(step.send); err != nil {
			return false, err
		}
		l, err := m.console.Wait(ctx, step.want)
		if err != nil {
			return false, err
		}
		if strings.HasPrefix(l.Text, "Login ") {
			return false, nil
		}
	}
	return true, nil
}

// Run runs a command in the shell that Login opened, and returns what it printed.
func (m *Machine) Run(ctx context.Context, command string) (string, error) {
	// The marks are made by the shell, so that the echo of what is typed does not look like them.
	if err := m.console.Send("echo be''gin; { " + command + "; } 2>&1 | cat; echo; echo e''nd\r"); err != nil {
		return "", err
	}
	if _, err := m.console.Wait(ctx, `^begin$`); err != nil {
		return "", err
	}
	out, err := m.console.Collect(ctx, `^end$`)
	if err != nil {
		return "", err
	}
	_, err = m.console.Wait(ctx, `:~# $`)
	return out, err
}
