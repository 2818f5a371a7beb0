// Package hook runs the deploy hooks of a new system before its first start: programs of its image, then scripts of its
// settings.
//
// Call Run when the settings are written into the root, and before the bootloader.
//
// # Which hooks run
//
//	/etc/griddle/deploy.d/*   of the image: executable files, ordered by name; symlinks lead where they lead in the
//	                          started system. Files without an x bit are skipped with a line; hidden files and those
//	                          that end in "~" without one (package hookfile, as for publishing).
//	hooks                     of the settings, in their order; those of the site come before those of the machine
//
// Each runs in the root by package chroot, which says what it finds there, with "/" as its argument and the variables
// of Machine.Env. A hook of the image may take setting.DefaultTimeout.
//
// # What happens to output
//
// Each line is an event of the job, so it is on the screen and in the server's journal. One hook has at most MaxLines
// lines there, all hooks together MaxTotal; of the rest it says how many there were. A hook that is secret has none:
// shells print lines of the script in their errors.
//
// # What happens to scripts
//
// The script of a settings hook is a file of mode 0700 in the memory of its root's /run. It is never on a disk, in
// arguments or in variables.
//
// # Failures
//
// A hook fails with an exit status, by a signal, when its time is over, and when it cannot be started. Then a Person
// decides. Without one the hook is skipped if it says so, with a warning, or the error ends the install; then the disk
// stays marked as unfinished.
package hook

import (
	"context"
	"errors"
	"fmt"
	"os"

	"griddle/appliance/job"
	"griddle/appliance/setting"
	"griddle/initramfs/chroot"
	"griddle/initramfs/sysroot"
)

// Options is what Run needs besides the root and the settings.
type Options struct {
	Machine Machine
	Resolv  []byte // see chroot.Root; nil if there is no network

	// Event gets each line of output, and what an operator should know. The text is one line, safe to show.
	Event func(level job.Level, text string)

	Person Person // decides about failures; nil if no one is at the machine
}

// Person is someone at the machine.
type Person interface {
	// Ask shows a failure and waits for the answer, or for the end of ctx.
	Ask(ctx context.Context, f Failure) (Answer, error)

	// Terminal lends the terminal of the person for the time of use, which gets a line to show first.
	Terminal(greeting string, use func(tty *os.File, term string) error) error
}

// ErrFailed is wrapped by the error of Run about a hook that failed and was not skipped.
var ErrFailed = errors.New("the hook failed")

// Run runs all hooks of the system in root, in order. Programs find the mounts below the path of root.
func Run(ctx context.Context, root *os.Root, settings []setting.Hook, o Options) error {
	r := &runner{Options: o, root: sysroot.Dir{Root: root}}
	r.chroot = chroot.Root{Dir: root.Name(), Hostname: o.Machine.Hostname, Resolv: o.Resolv}
	hooks, err := r.ofImage()
	if err != nil {
		return fmt.Errorf("reading the image's hooks: %w", err)
	}
	for _, h := range settings {
		hooks = append(hooks, hook{name: h.Name, origin: Settings, path: "/run/griddle/" + h.Name,
			script: []byte(h.Script), limit: h.Limit(), skip: h.Skip, secret: h.Secret})
	}
	for _, h := range hooks {
		if err := r.settle(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// runner is one run.
type runner struct {
	Options
	root   sysroot.Dir
	chroot chroot.Root
	lines  int // of output that were events, of all hooks
}

func (r *runner) say(level job.Level, format string, args ...any) {
	r.Event(level, job.Sentence(fmt.Sprintf(format, args...)))
}
