package lxd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"

	"griddle/cloud/provider"
)

type volume struct {
	Name        string            `json:"name"`
	Type        string            `json:"type,omitempty"`
	ContentType string            `json:"content_type,omitempty"`
	Description string            `json:"description"`
	Config      map[string]string `json:"config"`
	UsedBy      []string          `json:"used_by,omitempty"`

	pool string
}

func (v *volume) resource() (provider.Resource, bool) {
	r, ok := identified(v.Config, provider.KindVolume)
	r.ID = v.pool + "/" + v.Name
	r.Size, _ = strconv.ParseInt(v.Config["size"], 10, 64)
	return r, ok
}

// holder is the instance that a volume is in, and empty for none.
func (v *volume) holder() string {
	for _, u := range v.UsedBy {
		if u, _, _ = strings.Cut(u, "?"); strings.HasPrefix(u, "/1.0/instances/") {
			return path.Base(u)
		}
	}
	return ""
}

type pool struct {
	Name string `json:"name"`
}

func (p *Provider) pools(ctx context.Context) ([]pool, error) {
	var all []pool
	_, err := p.client.get(ctx, endpoint("storage-pools"), &all, "recursion", "1")
	return all, err
}

// pool is where roots go, and volumes that name no other.
func (p *Provider) pool(ctx context.Context) (string, error) {
	if p.config.Pool != "" {
		return p.config.Pool, nil
	}
	all, err := p.pools(ctx)
	if err != nil {
		return "", err
	}
	if len(all) != 1 {
		return "", fmt.Errorf("LXD has %d storage pools, and the configuration names none: %w", len(all),
			provider.ErrInvalid)
	}
	return all[0].Name, nil
}

// volumes lists ours of all pools.
func (p *Provider) volumes(ctx context.Context) ([]volume, error) {
	pools, err := p.pools(ctx)
	if err != nil {
		return nil, err
	}
	var found []volume
	for _, pool := range pools {
		var all []volume
		if _, err := p.client.get(ctx, endpoint("storage-pools", pool.Name, "volumes", "custom"), &all,
			"recursion", "1"); err != nil {
			return nil, err
		}
		for _, v := range all {
			v.pool = pool.Name
			if _, ok := v.resource(); ok {
				found = append(found, v)
			}
		}
	}
	return found, nil
}

// where is the endpoint of a volume's ID.
func where(id string) (string, error) {
	pool, name, _ := strings.Cut(id, "/")
	if pool == "" || name == "" {
		return "", fmt.Errorf("volume %q: %w", id, provider.ErrNotFound)
	}
	return endpoint("storage-pools", pool, "volumes", "custom", name), nil
}

// volume reads one by its ID.
func (p *Provider) volume(ctx context.Context, id string) (volume, error) {
	at, err := where(id)
	if err != nil {
		return volume{}, err
	}
	var v volume
	_, err = p.client.get(ctx, at, &v)
	v.pool, _, _ = strings.Cut(id, "/")
	return v, err
}

func (p *Provider) ensureVolume(ctx context.Context, w *provider.Volume) (provider.Resource, error) {
	mount := w.Mount
	if mount == "" {
		mount = "/srv"
	}
	if mount == "/" || !path.IsAbs(mount) || path.Clean(mount) != mount || strings.ContainsAny(mount, "\x00\n") {
		return provider.Resource{}, fmt.Errorf("%q is not a path where a container can find it: %w", mount,
			provider.ErrInvalid)
	}
	all, err := p.volumes(ctx)
	if err != nil {
		return provider.Resource{}, err
	}
	id := ""
	for _, v := range all {
		if r, _ := v.resource(); r.Stack == w.Stack && r.Name == w.Name {
			id = r.ID
		}
	}
	if id == "" {
		pool := w.Type
		if pool == "" {
			if pool, err = p.pool(ctx); err != nil {
				return provider.Resource{}, err
			}
		}
		v := volume{Name: joined(w.Stack, w.Name), ContentType: "filesystem", Description: about(w),
			Config: with(w, map[string]string{
				"size": strconv.FormatInt(w.Size, 10), keyMount: mount,
			})}
		id = pool + "/" + v.Name
		err := p.client.do(ctx, http.MethodPost, endpoint("storage-pools", pool, "volumes", "custom"), v, "")
		if err != nil && !errors.Is(err, provider.ErrTaken) {
			return provider.Resource{}, err
		}
	}
	at, err := where(id)
	if err != nil {
		return provider.Resource{}, err
	}
	var r provider.Resource
	err = change(ctx, p.client, at, func(v *volume) (bool, error) {
		if err := owned(v.Config, provider.KindVolume, w.Stack, w.Name); err != nil {
			return false, err
		}
		v.pool, _, _ = strings.Cut(id, "/")
		r, _ = v.resource()
		write := v.Config[keyMount] != mount || r.Size < w.Size
		r.Size = max(r.Size, w.Size)
		v.Config[keyMount], v.Config["size"] = mount, strconv.FormatInt(r.Size, 10)
		if h := v.holder(); h != "" {
			var i instance
			_, err := p.client.get(ctx, endpoint("instances", h), &i)
			if err != nil && !errors.Is(err, provider.ErrNotFound) {
				return false, err
			}
			r.Bound = i.id()
		}
		return write, nil
	})
	return r, err
}

func (p *Provider) removeVolume(ctx context.Context, r provider.Resource) error {
	v, err := p.volume(ctx, r.ID)
	if err != nil {
		return err
	}
	if err := owned(v.Config, provider.KindVolume, r.Stack, r.Name); err != nil {
		return err
	}
	if h := v.holder(); h != "" {
		return fmt.Errorf("instance %s uses it: %w", h, provider.ErrTemporary)
	}
	at, err := where(r.ID)
	if err != nil {
		return err
	}
	return p.client.do(ctx, http.MethodDelete, at, nil, "")
}
