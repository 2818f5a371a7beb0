package cloud

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"griddle/cloud/plan"
	"griddle/cloud/provider"
	"griddle/cloud/provider/retry"
	"griddle/cloud/stack"
	"griddle/cloud/state"
)

// Pauses between two tries to log in.
const (
	firstLoginPause = time.Second
	lastLoginPause  = 10 * time.Second
)

// maxOutput is how long an output may be, in bytes.
const maxOutput = 64 << 10

// login runs a command until the server takes it: until then it boots, or cloud-init moves its ssh server.
func (r *run) login(ctx context.Context, v string, at provider.Resource,
	command string) (stdout []byte, exit int, err error) {
	return r.loginUntil(ctx, v, at, command, func(context.Context) error { return nil })
}

// loginUntil is login that ends with the first error of look, which is called after each try.
func (r *run) loginUntil(ctx context.Context, v string, at provider.Resource, command string,
	look func(context.Context) error) (stdout []byte, exit int, err error) {
	for wait := firstLoginPause; ; wait = min(2*wait, lastLoginPause) {
		stdout, exit, err = r.c.Shell.Run(ctx, r.reach(v, at), command)
		if err == nil {
			return stdout, exit, nil
		}
		r.log.Info("no answer yet", "server", v, "err", err)
		if err := look(ctx); err != nil {
			return nil, 0, err
		}
		if ended := retry.Sleep(ctx, wait); ended != nil {
			return nil, 0, fmt.Errorf("waiting for its ssh server: %w: %w", ended, err)
		}
	}
}

// answers waits until one can log in.
func (r *run) answers(ctx context.Context, v stack.Server, at provider.Resource) error {
	_, exit, err := r.login(ctx, v.Name, at, "true")
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

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// readOutputs reads what the first server of a role gives to others, where it is not known or the server was made in
// this run.
func (r *run) readOutputs(ctx context.Context, role, first string) error {
	for _, v := range r.s.Roles {
		if v.Name != role || first == "" {
			continue
		}
		at, _ := r.resource(provider.KindServer, first)
		for _, o := range v.Outputs {
			_, known := r.rec.Output(role, o.Name)
			do := r.steps[provider.KindServer.Named(first)].Do
			if known && do == plan.Nothing {
				continue
			}
			if err := r.readOutput(ctx, role, first, at, o); err != nil {
				return fmt.Errorf("reading output %s of role %s from %s: %w", o.Name, role, first, err)
			}
		}
	}
	return nil
}

func (r *run) readOutput(ctx context.Context, role, first string, at provider.Resource, o stack.Output) error {
	within, stop := context.WithTimeoutCause(ctx, r.settings.Call, retry.Late(r.settings.Call))
	defer stop()
	sudo := ""
	for _, u := range r.s.Users {
		if u.Name == r.s.Admin && u.Sudo {
			sudo = "sudo -n "
		}
	}
	out, exit, err := r.login(within, first, at, fmt.Sprintf("%shead -c %d -- %s", sudo, maxOutput+1, quote(o.File)))
	switch {
	case err != nil:
		return err
	case exit != 0:
		return fmt.Errorf("reading %s ended with %d", o.File, exit)
	case len(out) > maxOutput:
		return fmt.Errorf("%s has more than %d bytes", o.File, maxOutput)
	case !utf8.Valid(out) || bytes.IndexByte(out, 0) >= 0:
		return fmt.Errorf("%s is not text", o.File)
	}
	value := strings.TrimSuffix(string(out), "\n")
	shown := value
	if o.Secret {
		shown = ""
		if _, err := r.v.Put("output."+role+"."+o.Name, true, func() string { return value }); err != nil {
			return err
		}
	}
	r.say("output %s of role %s is read", o.Name, role)
	return r.rec.Change(func(s *state.State) {
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
