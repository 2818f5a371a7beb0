package hook

import (
	"context"
	"fmt"
	"os"

	"griddle/appliance/job"
	"griddle/initramfs/chroot"
)

// Failure is how a hook failed. All texts are safe to show.
type Failure struct {
	Name   string
	Origin Origin
	Kind   chroot.Kind
	Reason string   // "it ended with exit status 3"
	Last   []string // the last lines of its output, at most 12; none of a secret hook
	Secret bool
}

// String is one sentence, with the last line of output.
func (f Failure) String() string {
	s := fmt.Sprintf("hook %s of the %s: %s", f.Name, f.Origin, f.Reason)
	if n := len(f.Last); n > 0 {
		s += ": " + f.Last[n-1]
	}
	return s
}

func failure(h hook, e *chroot.Error) Failure {
	f := Failure{Name: job.Printable(h.name), Origin: h.origin, Kind: e.Kind, Reason: job.Sentence(e.Reason()),
		Secret: h.secret}
	if h.secret {
		if e.Kind == chroot.NotStarted { // it may name words of the script
			f.Reason = "it cannot be started: its first line must name an interpreter that the image has"
		}
		return f
	}
	for _, l := range e.Last {
		if l = job.Sentence(l); l != "" {
			f.Last = append(f.Last, l)
		}
	}
	return f
}

// Answer is what happens after a failure.
type Answer int

// The values of Answer. Shell starts a shell in the root; after it, the question comes again.
const (
	GiveUp Answer = iota
	Retry
	Skip
	Shell
)

// ask returns Retry, Skip or GiveUp.
func (r *runner) ask(ctx context.Context, h hook, f Failure) (Answer, error) {
	if r.Person == nil {
		if h.skip {
			return Skip, nil
		}
		return GiveUp, nil
	}
	r.say(job.Warning, "%s; the machine waits for an answer on its screen", f)
	for {
		answer, err := r.Person.Ask(ctx, f)
		if err != nil || answer != Shell {
			return answer, err
		}
		if err := r.Person.Terminal(greeting(h), func(tty *os.File, term string) error {
			return r.shell(ctx, h, tty, term)
		}); err != nil && ctx.Err() == nil {
			r.say(job.Warning, "the shell could not be started: %v", err)
		}
	}
}

// greeting tells the person what there is.
func greeting(h hook) string {
	where := "It is " + job.Sentence(h.path) + "."
	if h.secret {
		where = "It is secret, so its script is not here."
	}
	return fmt.Sprintf("This is a shell in the new system, as root. The %s failed.\n%s\n"+
		"\"exit\" returns to the question.", h, where)
}

// shell runs a shell in the root, with what the hook finds there.
func (r *runner) shell(ctx context.Context, h hook, tty *os.File, term string) error {
	if h.secret {
		h.script = nil
	}
	c := r.call(h)
	c.Args, c.Terminal = []string{"/bin/sh", "-i"}, tty
	if r.root.HasFile("bin/bash") {
		c.Args[0] = "/bin/bash"
	}
	c.Env = append(c.Env, "TERM="+term)
	err := r.chroot.Do(ctx, c)
	if e, ok := err.(*chroot.Error); ok && e.Kind != chroot.NotStarted {
		return nil // how a shell ends is no matter
	}
	return err
}
