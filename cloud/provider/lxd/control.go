package lxd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"griddle/cloud/provider"
)

// power is what is asked of an instance. A Timeout in seconds is how long its system has; without Force the
// operation fails then.
type power struct {
	Action  string `json:"action"`
	Timeout int    `json:"timeout"`
	Force   bool   `json:"force"`
}

// Control implements provider.Provider. It returns when LXD is done, which for a system that does not shut itself down
// takes Config.ShutdownTimeout.
func (p *Provider) Control(ctx context.Context, r provider.Resource, a provider.Action) error {
	fail := func(err error) error { return fmt.Errorf("%s of server %q: %w", a, r.Name, err) }
	unlock, err := p.locks.lock(ctx, string(provider.KindServer)+"/"+r.Stack+"/"+r.Name)
	if err != nil {
		return fail(err)
	}
	defer unlock()
	i, err := p.instance(ctx, r.ID)
	if err != nil {
		return fail(err)
	}
	if err := owned(i.Config, provider.KindServer, r.Stack, r.Name); err != nil {
		return fail(err)
	}
	on := i.Code == running || i.Code == ready || i.Code == started
	switch {
	case a != provider.Start && a != provider.Stop && a != provider.Reboot:
		return fail(provider.ErrInvalid)
	case i.Code == failed:
		return fail(fmt.Errorf("it failed: %w", provider.ErrInvalid))
	case a == provider.Start && on, a == provider.Stop && i.Code == stopped:
		return nil
	case i.Code == frozen && a == provider.Start:
		err = p.state(ctx, i.Name, power{Action: "unfreeze"})
	case a == provider.Stop:
		err = p.gently(ctx, i.Name, "stop")
	case a == provider.Reboot && on:
		err = p.gently(ctx, i.Name, "restart")
	default:
		err = p.state(ctx, i.Name, power{Action: "start"})
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

func (p *Provider) state(ctx context.Context, name string, w power) error {
	return p.client.do(ctx, http.MethodPut, endpoint("instances", name, "state"), w, "")
}

// gently gives the system its time, and then does without it.
func (p *Provider) gently(ctx context.Context, name, action string) error {
	err := p.state(ctx, name, power{Action: action, Timeout: max(1, int(p.config.ShutdownTimeout/time.Second))})
	if err == nil || ctx.Err() != nil || errors.Is(err, provider.ErrNotFound) ||
		errors.Is(err, provider.ErrCredentials) {
		return err
	}
	var i instance
	if _, err := p.client.get(ctx, endpoint("instances", name), &i); err != nil {
		return err
	}
	if i.Code == stopped && action == "stop" {
		return nil
	}
	if i.Code == stopped {
		return p.state(ctx, name, power{Action: "start"})
	}
	return p.state(ctx, name, power{Action: action, Timeout: -1, Force: true})
}

// removeServer takes away first what leads to the server: an address must not stay open for whoever gets it next.
func (p *Provider) removeServer(ctx context.Context, r provider.Resource) error {
	i, err := p.instance(ctx, r.ID)
	if err != nil {
		return err
	}
	if err := owned(i.Config, provider.KindServer, r.Stack, r.Name); err != nil {
		return err
	}
	busy, err := p.client.busy(ctx)
	if err != nil {
		return err
	}
	if w, ok := busy[i.Name]; ok && w.state == provider.Removing {
		return nil
	}
	if i.Config[keyFirewall] != "" {
		err := change(ctx, p.client, endpoint("instances", i.Name), func(i *instance) (bool, error) {
			delete(i.Config, keyFirewall)
			return true, owned(i.Config, provider.KindServer, r.Stack, r.Name)
		})
		if err != nil {
			return err
		}
	}
	if err := p.letIn(ctx, r.Stack); err != nil {
		return err
	}
	if has, _ := i.resource(); has.Private.IsValid() && i.network() != "" {
		if err := p.reach(ctx, r.Stack, i.network(), has.Private, ""); err != nil {
			return err
		}
	}
	if i.Code != stopped && i.Code != failed {
		if err := p.state(ctx, i.Name, power{Action: "stop", Timeout: -1, Force: true}); err != nil &&
			!p.isStopped(ctx, i.Name) {
			return err
		}
	}
	return p.client.do(ctx, http.MethodDelete, endpoint("instances", i.Name), nil, "")
}

func (p *Provider) isStopped(ctx context.Context, name string) bool {
	var i instance
	_, err := p.client.get(ctx, endpoint("instances", name), &i)
	return err == nil && i.Code == stopped
}

// Console implements provider.Consoler. LXD keeps what a container wrote since it was started, and a little of it.
func (p *Provider) Console(ctx context.Context, r provider.Resource) ([]byte, error) {
	i, err := p.instance(ctx, r.ID)
	if err == nil {
		err = owned(i.Config, provider.KindServer, r.Stack, r.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the console of server %q: %w", r.Name, err)
	}
	b, err := p.client.raw(ctx, endpoint("instances", i.Name, "console"), 64<<10)
	if errors.Is(err, provider.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the console of server %q: %w", r.Name, err)
	}
	return b, nil
}
