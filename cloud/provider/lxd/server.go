package lxd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"griddle/cloud/provider"
	"griddle/cloud/provider/lxd/metadata"
)

// parts is what a server is made with, found and checked.
type parts struct {
	network network
	volumes []volume
	limits  map[string]string
}

// ensureServer makes an instance, lets its packets in and starts it. Each step finds what those of an earlier call did:
// an instance that was never started is one whose making was not finished.
func (p *Provider) ensureServer(ctx context.Context, w *provider.Server) (provider.Resource, error) {
	name := joined(w.Stack, w.Name)
	i, err := p.settled(ctx, name)
	if errors.Is(err, provider.ErrNotFound) {
		var has parts
		if has, err = p.parts(ctx, w, name); err != nil {
			return provider.Resource{}, err
		}
		if err = p.create(ctx, w, name, has); err != nil && !errors.Is(err, provider.ErrTaken) {
			return provider.Resource{}, err
		}
		taken := err
		if i, err = p.settled(ctx, name); errors.Is(err, provider.ErrNotFound) && taken != nil {
			err = taken
		}
	}
	if err != nil {
		return provider.Resource{}, err
	}
	if err := owned(i.Config, provider.KindServer, w.Stack, w.Name); err != nil {
		return provider.Resource{}, err
	}
	if r, _ := i.resource(); r.Want != w.Fingerprint() || r.State == provider.Failed {
		return p.server(ctx, name)
	}
	if err := p.adjust(ctx, w, name); err != nil {
		return provider.Resource{}, err
	}
	if i.unused() && i.Code == stopped {
		if err := p.first(ctx, name); err != nil {
			return provider.Resource{}, err
		}
	}
	return p.server(ctx, name)
}

// settled reads an instance once LXD is done making it.
func (p *Provider) settled(ctx context.Context, name string) (instance, error) {
	var i instance
	for {
		busy, err := p.client.busy(ctx)
		if err != nil {
			return i, err
		}
		w, working := busy[name]
		if working && w.state == provider.Removing {
			return i, fmt.Errorf("the old one is still being removed: %w", provider.ErrTemporary)
		}
		_, err = p.client.get(ctx, endpoint("instances", name), &i)
		if !working || err != nil && !errors.Is(err, provider.ErrNotFound) || err == nil && !i.unused() {
			return i, err
		}
		// How it ends is seen by what is there then.
		if _, err := p.client.await(ctx, w.op); ctx.Err() != nil {
			return i, err
		}
	}
}

// parts finds what a server refers to. Of volumes it can have those that are in no other instance.
func (p *Provider) parts(ctx context.Context, w *provider.Server, name string) (parts, error) {
	var has parts
	var err error
	if w.Key != "" {
		return has, fmt.Errorf("key %s: %s: %w", w.Key, p.Features().Lacks[provider.KindKey], provider.ErrUnsupported)
	}
	if !utf8.Valid(w.UserData) {
		return has, fmt.Errorf("its user-data is not text, which alone LXD keeps: %w", provider.ErrInvalid)
	}
	if has.limits, err = limits(w.Size); err != nil {
		return has, err
	}
	if _, err = p.client.get(ctx, endpoint("networks", w.Network), &has.network); err != nil {
		return has, fmt.Errorf("network %s: %w", w.Network, err)
	}
	if err = ours(has.network.Config, provider.KindNetwork, w.Stack, w.Network); err != nil {
		return has, err
	}
	if err = provider.CheckPrivate(has.network.prefix(), w.Private); err != nil {
		return has, err
	}
	if w.Firewall != "" {
		var a acl
		if _, err = p.client.get(ctx, endpoint("network-acls", w.Firewall), &a); err != nil {
			return has, fmt.Errorf("firewall %s: %w", w.Firewall, err)
		}
		if err = ours(a.Config, provider.KindFirewall, w.Stack, w.Firewall); err != nil {
			return has, err
		}
	}
	if w.Address != "" {
		f, err := p.forward(ctx, w.Address)
		if err == nil {
			err = ours(f.Config, provider.KindAddress, w.Stack, w.Address)
		}
		if err == nil && f.network != w.Network {
			err = fmt.Errorf("it belongs to network %s: %w", f.network, provider.ErrInvalid)
		}
		if err != nil {
			return has, fmt.Errorf("address %s: %w", w.Address, err)
		}
	}
	for _, id := range w.Volumes {
		v, err := p.volume(ctx, id)
		if err == nil {
			err = ours(v.Config, provider.KindVolume, w.Stack, id)
		}
		if h := v.holder(); err == nil && h != "" && h != name {
			err = fmt.Errorf("it belongs to instance %s: %w", h, provider.ErrTemporary)
		}
		if err != nil {
			return has, fmt.Errorf("volume %s: %w", id, err)
		}
		has.volumes = append(has.volumes, v)
	}
	return has, nil
}

// create makes the instance, and leaves it stopped.
func (p *Provider) create(ctx context.Context, w *provider.Server, name string, has parts) error {
	var img image
	if len(w.Image) != 64 {
		return fmt.Errorf("image %q is not a fingerprint: %w", w.Image, provider.ErrNotFound)
	}
	if _, err := p.client.get(ctx, endpoint("images", w.Image), &img); err != nil {
		return fmt.Errorf("image %s: %w", w.Image, err)
	}
	if _, ok := img.resource(); !ok {
		return fmt.Errorf("image %s does not have our labels: %w", w.Image, provider.ErrInvalid)
	}
	pool, err := p.pool(ctx)
	if err != nil {
		return err
	}
	private, release, err := p.reserve(ctx, has.network, name, w.Private)
	if err != nil {
		return err
	}
	defer release()
	config := with(w, has.limits)
	config[keyRole], config[metadata.KeyUserData], config[keyNew] = w.Role, string(w.UserData), "true"
	if w.Firewall != "" {
		config[keyFirewall] = w.Firewall
	}
	maps.DeleteFunc(config, func(_, v string) bool { return v == "" })
	root := map[string]string{"type": "disk", "path": "/", "pool": pool}
	if w.Disk > 0 {
		root["size"] = strconv.FormatInt(w.Disk, 10)
	}
	devices := disks(has.volumes)
	devices["root"] = root
	devices[card] = map[string]string{"type": "nic", "name": card, "network": has.network.Name,
		"ipv4.address": private.String()}
	return p.client.do(ctx, http.MethodPost, endpoint("instances"), instance{
		Name: name, Config: config, Devices: devices, Profiles: []string{}, Description: about(w),
		Source: &source{Type: "image", Fingerprint: w.Image},
	}, "")
}

// adjust changes what can be changed of a server that is there: volumes, firewall and address.
func (p *Provider) adjust(ctx context.Context, w *provider.Server, name string) error {
	has, err := p.parts(ctx, w, name)
	if err != nil {
		return err
	}
	var private netip.Addr
	err = change(ctx, p.client, endpoint("instances", name), func(i *instance) (bool, error) {
		if err := owned(i.Config, provider.KindServer, w.Stack, w.Name); err != nil {
			return false, err
		}
		r, _ := i.resource()
		private = r.Private
		devices := disks(has.volumes)
		for n, d := range i.Devices {
			if d["type"] != "disk" || d["path"] == "/" || d["source"] == "" || d["pool"] == "" {
				devices[n] = d
			}
		}
		same := i.Config[keyFirewall] == w.Firewall &&
			maps.EqualFunc(i.Devices, devices, maps.Equal[map[string]string, map[string]string])
		i.Devices = devices
		if i.Code == running && i.unused() {
			delete(i.Config, keyNew)
			same = false
		}
		if i.Config[keyFirewall] = w.Firewall; w.Firewall == "" {
			delete(i.Config, keyFirewall)
		}
		return !same, nil
	})
	if err != nil {
		return err
	}
	if w.Firewall != "" {
		if err := p.attach(ctx, w.Network, w.Firewall); err != nil {
			return err
		}
	}
	if err := p.letIn(ctx, w.Stack); err != nil {
		return err
	}
	return p.reach(ctx, w.Stack, w.Network, private, w.Address)
}

// first starts an instance for the first time. Where LXD cannot, the server failed, for the reason that it keeps.
func (p *Provider) first(ctx context.Context, name string) error {
	err := p.client.do(ctx, http.MethodPut, endpoint("instances", name, "state"), power{Action: "start"}, "")
	if err == nil {
		return change(ctx, p.client, endpoint("instances", name), func(i *instance) (bool, error) {
			delete(i.Config, keyNew)
			return true, nil
		})
	}
	if ctx.Err() != nil || errors.Is(err, provider.ErrTemporary) || errors.Is(err, provider.ErrCredentials) {
		return err
	}
	reason := strings.ToValidUTF8(err.Error(), "?")
	// LXD answers before it is done with what of the container came to be, and refuses to change it meanwhile.
	for end := time.Now().Add(p.config.ShutdownTimeout); ; {
		err := change(ctx, p.client, endpoint("instances", name), func(i *instance) (bool, error) {
			i.Config[keyFailed] = reason[:min(len(reason), 500)]
			return true, nil
		})
		if !errors.Is(err, provider.ErrTemporary) || time.Now().After(end) {
			return err
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
