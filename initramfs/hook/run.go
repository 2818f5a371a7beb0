package hook

import (
	"context"
	"errors"
	"fmt"

	"griddle/appliance/job"
	"griddle/initramfs/chroot"
)

// The limits of output, in lines.
const (
	MaxLines = 200  // of one run of a hook
	MaxTotal = 1000 // of all hooks of an install
)

// settle runs a hook until it succeeds, is skipped, or ends the install.
func (r *runner) settle(ctx context.Context, h hook) error {
	for {
		err := r.run(ctx, h)
		var failed *chroot.Error
		if !errors.As(err, &failed) {
			return err
		}
		f := failure(h, failed)
		answer, err := r.ask(ctx, h, f)
		if err != nil {
			return err
		}
		switch answer {
		case Retry:
		case Skip:
			r.say(job.Warning, "%s is skipped: %s", h, f.Reason)
			return nil
		default:
			return fmt.Errorf("%w: %s", ErrFailed, f)
		}
	}
}

// run runs a hook once.
func (r *runner) run(ctx context.Context, h hook) error {
	r.say(job.Info, "%s runs", h)
	c := r.call(h)
	c.Args, c.Limit = []string{h.path, "/"}, h.limit
	if h.secret {
		r.say(job.Info, "its output is not shown, because the hook is secret")
		return r.chroot.Do(ctx, c)
	}
	left := MaxTotal - r.lines
	c.Lines = max(1, min(MaxLines, left))
	c.Line = func(line string) {
		if left > 0 {
			r.lines++
			r.say(job.Info, "%s: %s", job.Printable(h.name), line)
		}
	}
	if left <= 0 {
		r.say(job.Info, "its output is not shown: the hooks have printed %d lines", r.lines)
	}
	return r.chroot.Do(ctx, c)
}

// call is what a run of the hook and a shell have in common.
func (r *runner) call(h hook) chroot.Call {
	c := chroot.Call{Env: r.Machine.Env()}
	if h.script != nil {
		c.Files = []chroot.File{{Path: h.path, Data: h.script, Mode: 0o700}}
	}
	return c
}
