package lxd

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"griddle/cloud/provider"
)

type instance struct {
	Name         string                       `json:"name,omitempty"`
	Architecture string                       `json:"architecture,omitempty"`
	Config       map[string]string            `json:"config"`
	Devices      map[string]map[string]string `json:"devices"`
	Profiles     []string                     `json:"profiles"`
	Ephemeral    bool                         `json:"ephemeral"`
	Stateful     bool                         `json:"stateful"`
	Description  string                       `json:"description"`
	Code         int                          `json:"status_code,omitempty"`
	Source       *source                      `json:"source,omitempty"` // when it is made
}

type source struct {
	Type        string `json:"type"`
	Fingerprint string `json:"fingerprint"`
}

// card is the device that joins a container to its network, and the interface's name in it.
const card = "eth0"

// id is the name with what LXD gives each instance anew, so that one made again under the same name is another.
func (i *instance) id() string {
	if i.Name == "" {
		return ""
	}
	return i.Name + "/" + i.Config["volatile.uuid"]
}

func (i *instance) network() string { return i.Devices[card]["network"] }

// unused says whether it was never started: making it is not done. LXD's own time of the last use is also that
// of a start that failed.
func (i *instance) unused() bool { return i.Config[keyNew] != "" }

// resource is the server without what others know of it: its public address, and what LXD does with it now.
func (i *instance) resource() (provider.Resource, bool) {
	r, ok := identified(i.Config, provider.KindServer)
	r.ID, r.Image = i.id(), i.Config["volatile.base_image"]
	if a, err := netip.ParseAddr(i.Devices[card]["ipv4.address"]); err == nil {
		r.Private, r.Public = a, a
	}
	switch i.Code {
	case running, ready, started:
		r.State = provider.Ready
	case stopped, frozen, created:
		r.State = provider.Stopped
		if reason := i.Config[keyFailed]; i.unused() && reason != "" {
			r.State, r.Reason = provider.Failed, reason
		} else if i.unused() {
			r.State = provider.Pending
		}
	case failed:
		r.State, r.Reason = provider.Failed, "LXD says that the instance is in error"
	default:
		r.State = provider.Pending
	}
	return r, ok
}

// instances lists all of the project.
func (p *Provider) instances(ctx context.Context) ([]instance, error) {
	var all []instance
	_, err := p.client.get(ctx, endpoint("instances"), &all, "recursion", "1")
	return all, err
}

// instance reads the one of an ID.
func (p *Provider) instance(ctx context.Context, id string) (instance, error) {
	var i instance
	name, _, _ := strings.Cut(id, "/")
	if name == "" {
		return i, fmt.Errorf("instance %q: %w", id, provider.ErrNotFound)
	}
	_, err := p.client.get(ctx, endpoint("instances", name), &i)
	if err == nil && i.id() != id {
		err = fmt.Errorf("instance %s is another by now: %w", name, provider.ErrNotFound)
	}
	return i, err
}

// see completes what is known of servers.
func see(r provider.Resource, name string, busy map[string]work, forwards []forward) provider.Resource {
	if w, ok := busy[name]; ok && r.State != provider.Failed {
		r.State = w.state
	}
	for _, f := range forwards {
		if a, ok := f.resource(); ok && a.Stack == r.Stack && r.Private.IsValid() &&
			f.Config[keyTarget] == r.Private.String() {
			r.Public = a.Public
		}
	}
	return r
}

// server reads one as it is now.
func (p *Provider) server(ctx context.Context, name string) (provider.Resource, error) {
	var i instance
	if _, err := p.client.get(ctx, endpoint("instances", name), &i); err != nil {
		return provider.Resource{}, err
	}
	busy, err := p.client.busy(ctx)
	if err != nil {
		return provider.Resource{}, err
	}
	var all []forward
	if n := i.network(); n != "" {
		if all, err = p.forwards(ctx, n); err != nil {
			return provider.Resource{}, err
		}
	}
	r, _ := i.resource()
	return see(r, name, busy, all), nil
}
