package cloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"griddle/cloud/provider"
	"griddle/cloud/stack"
)

// Pauses between two tries to log in.
const (
	firstKnock = time.Second
	lastKnock  = 10 * time.Second
)

// ErrFirstBoot says that a server runs, and cloud-init failed in it.
var ErrFirstBoot = errors.New("its first boot failed")

// maxOutput is how long an output may be, in bytes.
const maxOutput = 64 << 10

// lookAtConsole is how long to wait between two looks at the console of a server that does not answer.
const lookAtConsole = 30 * time.Second

// knock runs a command until the server takes it: until then it boots, or cloud-init moves its ssh server.
func (r *run) knock(ctx context.Context, v string, at provider.Resource, command string) (stdout []byte, exit int, err error) {
	return r.knockUntil(ctx, v, at, command, func(context.Context) error { return nil })
}

// knockUntil is knock that ends with the first error of look, which is called after each try.
func (r *run) knockUntil(ctx context.Context, v string, at provider.Resource, command string, look func(context.Context) error) (stdout []byte, exit int, err error) {
	for wait := firstKnock; ; wait = min(2*wait, lastKnock) {
		stdout, exit, err = r.c.Shell.Run(ctx, r.reach(v, at), command)
		if err == nil {
			return stdout, exit, nil
		}
		r.log.Info("no answer yet", "server", v, "err", err)
		if err := look(ctx); err != nil {
			return nil, 0, err
		}
		if ended := sleep(ctx, wait); ended != nil {
			return nil, 0, fmt.Errorf("waiting for its ssh server: %w: %w", ended, err)
		}
	}
}

// firstBoot waits until the first boot has ended, and fails where the server says that it failed: in cloud-init's status, in the
// report that cloud/userdata/secure has it write, or, while its ssh server does not answer, on its console.
func (r *run) firstBoot(ctx context.Context, v stack.Server, at provider.Resource) error {
	r.say("server %s runs at %s; its first boot is waited for", v.Name, where(at))
	out, exit, err := r.knockUntil(ctx, v.Name, at, "cloud-init status --wait --long", r.consoleLook(v.Name, at))
	if err != nil {
		if !errors.Is(err, ErrFirstBoot) {
			r.showConsole(v.Name, at)
		}
		return err
	}
	text := printable(out)
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

// reportCommand prints the report, which the server writes after cloud-init's last stage: so it may have to be waited for.
const reportCommand = "n=0; while [ -e " + bootScript + " ] && [ ! -e " + BootReport + " ] && [ $n -lt 120 ]; do sleep 1; n=$((n+1)); done; " +
	"if [ -e " + BootReport + " ]; then cat " + BootReport + "; elif [ -e " + bootScript + " ]; then exit 3; fi"

// bootReport reads the reasons of a failure from the server's own report; none where it says that all is done, or where user-data
// without such a report made the server.
func (r *run) bootReport(ctx context.Context, v string, at provider.Resource) ([]string, error) {
	out, exit, err := r.knock(ctx, v, at, reportCommand)
	if err != nil {
		return nil, err
	}
	if exit == 3 {
		return []string{"the server did not write " + BootReport + " within two minutes after cloud-init"}, nil
	}
	failed, reasons, ok := parseReport(out)
	if ok && failed {
		return reasons, nil
	}
	return nil, nil
}

// firstBootFailed shows what the server wrote, and makes the error.
func (r *run) firstBootFailed(ctx context.Context, v string, at provider.Resource, reasons []string) error {
	for _, file := range []string{bootResult, bootStatus} {
		if out, exit, err := r.c.Shell.Run(ctx, r.reach(v, at), "cat "+file); err == nil && exit == 0 {
			for _, e := range cloudInitErrors(out) {
				if e = "cloud-init: " + e; !slices.Contains(reasons, e) {
					reasons = append(reasons, e)
				}
			}
		}
	}
	r.showLog(ctx, v, at)
	return &BootError{Server: v, Reasons: reasons}
}

// showLog shows the end of what the first boot printed.
func (r *run) showLog(ctx context.Context, v string, at provider.Resource) {
	tail := fmt.Sprintf("tail -n %d %s", shownLines, bootLog)
	out, exit, err := r.c.Shell.Run(ctx, r.reach(v, at), "sudo -n "+tail+" 2>/dev/null || "+tail) // Debian gives it to root and adm
	if err != nil || exit != 0 {
		r.log.Warn("the log of the first boot cannot be read", "server", v, "exit", exit, "err", err)
		return
	}
	r.show(v, bootLog, consoleLines(out))
}

// show reports the last lines of what a server wrote.
func (r *run) show(v, from string, lines []string) {
	lines = lastLines(lines, shownLines)
	if len(lines) == 0 {
		return
	}
	r.say("server %s: the end of %s:", v, from)
	for _, l := range lines {
		r.say("  | %s", shortened(l))
	}
}

// consoleLook looks now and then at the console of a server that does not answer: where its first boot failed it may never answer.
func (r *run) consoleLook(v string, at provider.Resource) func(context.Context) error {
	last := time.Now()
	return func(ctx context.Context) error {
		if time.Since(last) < lookAtConsole {
			return nil
		}
		last = time.Now()
		b := r.readConsole(ctx, at)
		failed, reasons, _ := parseConsole(b)
		if !failed {
			return nil
		}
		r.show(v, "its console", consoleLines(b))
		return &BootError{Server: v, Reasons: reasons}
	}
}

// showConsole reports the end of a server's console, also where the time of ctx is over.
func (r *run) showConsole(v string, at provider.Resource) {
	ctx, stop := context.WithTimeout(context.Background(), consoleTime)
	defer stop()
	b := r.readConsole(ctx, at)
	r.show(v, "its console", consoleLines(b))
	if failed, _, said := parseConsole(b); said && !failed {
		r.say("server %s: its console says that the first boot is done; something between here and its ssh port is in the way", v)
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

// answers waits until one can log in.
func (r *run) answers(ctx context.Context, v stack.Server, at provider.Resource) error {
	_, exit, err := r.knock(ctx, v.Name, at, "true")
	if err == nil && exit != 0 {
		err = fmt.Errorf("logging in ended with %d", exit)
	}
	return err
}

func where(v provider.Resource) string {
	if v.Public.IsValid() && v.SSHPort != 0 {
		return netip.AddrPortFrom(v.Public, v.SSHPort).String()
	}
	if v.Public.IsValid() {
		return v.Public.String()
	}
	return v.Private.String()
}

// printable is text from a server as it can be logged.
func printable(b []byte) string {
	return strings.Map(func(c rune) rune {
		if c == utf8.RuneError || c < ' ' && c != '\n' {
			return -1
		}
		return c
	}, string(b[:min(len(b), 8<<10)]))
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// bringOutputs reads what the first server of a role gives to others, where it is not known or the server was made in this run.
func (r *run) bringOutputs(ctx context.Context, role, first string) error {
	for _, v := range r.s.Roles {
		if v.Name != role || first == "" {
			continue
		}
		at, _ := r.resource(provider.KindServer, first)
		for _, o := range v.Outputs {
			r.rec.mu.Lock()
			_, known := r.rec.s.Outputs[role][o.Name]
			r.rec.mu.Unlock()
			do := r.steps[thing{provider.KindServer, first}].Do
			if known && do == Nothing {
				continue
			}
			if err := r.bringOutput(ctx, role, first, at, o); err != nil {
				return fmt.Errorf("reading output %s of role %s from %s: %w", o.Name, role, first, err)
			}
		}
	}
	return nil
}

func (r *run) bringOutput(ctx context.Context, role, first string, at provider.Resource, o stack.Output) error {
	within, stop := context.WithTimeoutCause(ctx, r.settings.Call, late(r.settings.Call))
	defer stop()
	sudo := ""
	for _, u := range r.s.Users {
		if u.Name == r.s.Admin && u.Sudo {
			sudo = "sudo -n "
		}
	}
	out, exit, err := r.knock(within, first, at, fmt.Sprintf("%shead -c %d -- %s", sudo, maxOutput+1, quote(o.File)))
	switch {
	case err != nil:
		return err
	case exit != 0:
		return fmt.Errorf("reading %s ended with %d", o.File, exit)
	case len(out) > maxOutput:
		return fmt.Errorf("%s has more than %d bytes", o.File, maxOutput)
	case !utf8.Valid(out) || bytes.IndexByte(out, 0) >= 0:
		return fmt.Errorf("%s is no text", o.File)
	}
	value := strings.TrimSuffix(string(out), "\n")
	shown := value
	if o.Secret {
		shown = ""
		if _, err := r.v.put("output."+role+"."+o.Name, true, func() string { return value }); err != nil {
			return err
		}
	}
	r.say("output %s of role %s is read", o.Name, role)
	return r.rec.change(func(s *State) {
		if s.Outputs == nil {
			s.Outputs = make(map[string]map[string]string)
		}
		if s.Outputs[role] == nil {
			s.Outputs[role] = make(map[string]string)
		}
		s.Outputs[role][o.Name] = shown
	})
}

// quote makes a word of a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
