package cloud

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"griddle/cloud/bootreport"
	"griddle/cloud/provider"
	"griddle/cloud/stack"
)

// ErrFirstBoot says that a server runs, and its first boot failed.
var ErrFirstBoot = errors.New("its first boot failed")

// shownReasons is how many reasons of a failed first boot an error shows.
const shownReasons = 8

// BootError says that a server runs and its first boot failed. It wraps ErrFirstBoot.
type BootError struct {
	Server  string
	Reasons []string // what the server says, at least one
}

// Error gives the reasons in one line.
func (e *BootError) Error() string {
	shown := e.Reasons
	more := ""
	if len(shown) > shownReasons {
		shown, more = shown[:shownReasons], fmt.Sprintf("; and %d more reasons", len(e.Reasons)-shownReasons)
	}
	return ErrFirstBoot.Error() + ": " + strings.Join(shown, "; ") + more
}

// Unwrap returns ErrFirstBoot.
func (e *BootError) Unwrap() error { return ErrFirstBoot }

// lookAtConsole is how long to wait between two looks at the console of a server that does not answer.
const lookAtConsole = 30 * time.Second

// firstBoot waits until the first boot has ended, and fails where the server says that it failed: in
// cloud-init's status, in the report that cloud/userdata/secure has it write, or, while its ssh server does not
// answer, on its console.
func (r *run) firstBoot(ctx context.Context, v stack.Server, at provider.Resource) error {
	r.say("server %s runs at %s; its first boot is waited for", v.Name, where(at))
	out, exit, err := r.loginUntil(ctx, v.Name, at, "cloud-init status --wait --long", r.consoleLook(v.Name, at))
	if err != nil {
		if !errors.Is(err, ErrFirstBoot) {
			r.showConsole(v.Name, at)
		}
		return err
	}
	text := bootreport.Printable(out)
	var reasons []string
	switch {
	case exit == 127:
		return errors.New("its image has no cloud-init")
	case exit == 0, exit == 2: // 2 since cloud-init 23.4: done, with warnings
		if s := statusOf(text); s != "" && s != "done" {
			reasons = append(reasons, "cloud-init says: status: "+s)
		}
	default:
		r.log.Error("cloud-init failed", "server", v.Name, "exit", exit, "status", text)
		reasons = append(reasons, fmt.Sprintf("cloud-init status: exit %d: %s", exit, lastLine(text)))
	}
	said, err := r.bootReport(ctx, v.Name, at)
	if err != nil {
		return err
	}
	if reasons = append(said, reasons...); len(reasons) > 0 {
		return r.firstBootFailed(ctx, v.Name, at, reasons)
	}
	if exit == 2 {
		r.say("server %s: its first boot ended with warnings", v.Name)
		r.showLog(ctx, v.Name, at)
	}
	r.say("server %s is up", v.Name)
	return nil
}

// reportCommand prints the report, which the server writes after cloud-init's last stage: so it may
// have to be waited for.
const reportCommand = "n=0; while [ -e " + bootreport.Script + " ] && [ ! -e " + bootreport.Path +
	" ] && [ $n -lt 120 ]; do sleep 1; n=$((n+1)); done; " +
	"if [ -e " + bootreport.Path + " ]; then cat " + bootreport.Path + "; elif [ -e " + bootreport.Script +
	" ]; then exit 3; fi"

// bootReport reads the reasons of a failure from the server's own report; none where it says that all is done, or where
// user-data without such a report made the server.
func (r *run) bootReport(ctx context.Context, v string, at provider.Resource) ([]string, error) {
	out, exit, err := r.login(ctx, v, at, reportCommand)
	if err != nil {
		return nil, err
	}
	if exit == 3 {
		return []string{"the server did not write " + bootreport.Path + " within two minutes after cloud-init"}, nil
	}
	failed, reasons, ok := bootreport.Parse(out)
	if ok && failed {
		return reasons, nil
	}
	return nil, nil
}

// firstBootFailed shows what the server wrote, and makes the error.
func (r *run) firstBootFailed(ctx context.Context, v string, at provider.Resource, reasons []string) error {
	for _, file := range []string{bootreport.CloudInitResult, bootreport.CloudInitStatus} {
		if out, exit, err := r.c.Shell.Run(ctx, r.reach(v, at), "cat "+file); err == nil && exit == 0 {
			for _, e := range bootreport.CloudInitErrors(out) {
				if e = "cloud-init: " + e; !slices.Contains(reasons, e) {
					reasons = append(reasons, e)
				}
			}
		}
	}
	r.showLog(ctx, v, at)
	return r.bootError(v, reasons)
}

func (r *run) bootError(v string, reasons []string) error {
	hidden := r.hidden()
	e := &BootError{Server: v}
	for _, reason := range reasons {
		e.Reasons = append(e.Reasons, hidden.Replace(reason))
	}
	return e
}

// showLog shows the end of what the first boot printed.
func (r *run) showLog(ctx context.Context, v string, at provider.Resource) {
	tail := fmt.Sprintf("tail -n %d %s", bootreport.ShownLines, bootreport.Log)
	// Debian gives it to root and adm
	out, exit, err := r.c.Shell.Run(ctx, r.reach(v, at), "sudo -n "+tail+" 2>/dev/null || "+tail)
	if err != nil || exit != 0 {
		r.log.Warn("the log of the first boot cannot be read", "server", v, "exit", exit, "err", err)
		return
	}
	r.show(v, bootreport.Log, bootreport.ConsoleLines(out))
}

// show reports the last lines of what a server wrote, without the values of secrets.
func (r *run) show(v, from string, lines []string) {
	lines = bootreport.LastLines(lines, bootreport.ShownLines)
	if len(lines) == 0 {
		return
	}
	hidden := r.hidden()
	text := fmt.Sprintf("server %s: the end of %s:", v, from)
	for _, l := range lines {
		text += "\n  | " + bootreport.Shortened(hidden.Replace(l))
	}
	r.say("%s", text) // at once: other servers have something to say, too
}

// leastHidden is how long a line of a secret must be to be looked for: shorter ones are parts of other words.
const leastHidden = 6

// hidden takes the values of the stack's secrets out of a text: a script may have printed them.
func (r *run) hidden() *strings.Replacer {
	var values []string
	add := func(value string) {
		for line := range strings.Lines(value) {
			if line = strings.TrimSpace(line); len(line) >= leastHidden {
				values = append(values, line, "***")
			}
		}
	}
	if r.s == nil {
		return strings.NewReplacer()
	}
	for _, s := range r.s.Secrets {
		if s.Generate > 0 {
			value, _ := r.v.Get("secret." + s.Name) // one that was not needed so far is not made
			add(value)
		} else if value, err := r.c.Secrets.Value(s, r.v); err == nil {
			add(value)
		}
	}
	for _, role := range r.s.Roles {
		for _, o := range role.Outputs {
			if value, ok := r.v.Get("output." + role.Name + "." + o.Name); ok && o.Secret {
				add(value)
			}
		}
	}
	return strings.NewReplacer(values...)
}

// consoleLook looks now and then at the console of a server that does not answer: where its first boot
// failed it may never answer.
func (r *run) consoleLook(v string, at provider.Resource) func(context.Context) error {
	last := time.Now()
	return func(ctx context.Context) error {
		if time.Since(last) < lookAtConsole {
			return nil
		}
		last = time.Now()
		b := r.readConsole(ctx, at)
		failed, reasons, _ := bootreport.ParseConsole(b)
		if !failed {
			return nil
		}
		r.show(v, "its console", bootreport.ConsoleLines(b))
		return r.bootError(v, reasons)
	}
}

// showConsole reports the end of a server's console, also where the time of ctx is over.
func (r *run) showConsole(v string, at provider.Resource) {
	ctx, stop := context.WithTimeout(context.Background(), consoleTime)
	defer stop()
	b := r.readConsole(ctx, at)
	r.show(v, "its console", bootreport.ConsoleLines(b))
	if failed, _, said := bootreport.ParseConsole(b); said && !failed {
		r.say("server %s: its console says that the first boot is done; something between here and its ssh "+
			"port is in the way", v)
	}
}

// consoleTime is how long reading a console may take.
const consoleTime = 20 * time.Second

// readConsole is what a server wrote last; nothing where the provider does not show it.
func (r *run) readConsole(ctx context.Context, at provider.Resource) []byte {
	c, can := r.c.Provider.(provider.Consoler)
	if !can {
		return nil
	}
	within, stop := context.WithTimeout(ctx, consoleTime)
	defer stop()
	b, err := c.Console(within, at)
	if err != nil {
		r.log.Warn("the console cannot be read", "server", at.Name, "err", err)
	}
	return b
}

// statusOf is what follows "status: " in what cloud-init prints.
func statusOf(text string) string {
	for line := range strings.Lines(text) {
		if s, ok := strings.CutPrefix(strings.TrimSpace(line), "status: "); ok {
			return s
		}
	}
	return ""
}
