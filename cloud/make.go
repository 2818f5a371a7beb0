package cloud

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"griddle/cloud/plan"
	"griddle/cloud/provider"
	"griddle/cloud/stack"
	"griddle/cloud/state"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// makeImages sees to it that the provider has every image; have are those that it has.
func (r *run) makeImages(ctx context.Context, have []provider.Resource) error {
	done := make(map[string]provider.Resource) // with ID and digest
	for _, key := range slices.Sorted(maps.Keys(r.plan.Versions)) {
		arch := key[len(key)-5:] // amd64, arm64
		var pinned state.Image
		r.rec.View(func(s *state.State) { pinned = s.Images[key] })
		name := plan.ImageName(r.plan.Versions[key], pinned.Digest) + "@" + arch
		step := r.steps[provider.KindImage.Named(name)]
		got, known := done[name]
		if !known {
			got = provider.Resource{ID: step.ID, Digest: pinned.Digest}
			if i := slices.IndexFunc(have, func(v provider.Resource) bool {
				return v.ID == step.ID && step.ID != ""
			}); i >= 0 {
				got.Digest = have[i].Digest
			}
			if step.Do != plan.Nothing {
				var err error
				if got.ID, got.Digest, err = r.makeImage(ctx, step, r.plan.Versions[key], arch, have); err != nil {
					return err
				}
			}
			done[name] = got
		}
		r.images[key] = got.ID
		if got.Digest == "" || got.Digest == pinned.Digest {
			continue
		}
		err := r.rec.Change(func(s *state.State) {
			s.Images[key] = state.Image{Version: r.plan.Versions[key], Digest: got.Digest}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// makeImage builds and uploads one image.
func (r *run) makeImage(ctx context.Context, step plan.Step, version, arch string,
	have []provider.Resource) (id, digest string, err error) {
	if i := slices.IndexFunc(have, func(v provider.Resource) bool {
		return v.ID == step.ID && step.Do == plan.Replace
	}); i >= 0 {
		err := r.call().Do(ctx, "removing image "+have[i].Name, func(ctx context.Context) error {
			return r.c.Provider.Remove(ctx, have[i])
		})
		if err != nil {
			return "", "", err
		}
	}
	r.say("image %s for %s is built, or found as it was built", version, arch)
	begin := time.Now()
	image, err := r.c.Images.Build(ctx, version, arch, r.c.Provider.Features().Format)
	if err != nil {
		return "", "", fmt.Errorf("building image %s: %w", version, err)
	}
	r.say("image %s has %d MiB after %v; it is uploaded unless the provider has it", image.Name, image.Size>>20,
		time.Since(begin).Round(time.Second))
	got, err := upload(ctx, r.c.Provider, &image, r.call())
	if err == nil {
		r.know(got)
	}
	return got.ID, image.Digest, err
}

// makeShared makes what all servers share. Where the network is made anew, the servers in it go first.
func (r *run) makeShared(ctx context.Context) error {
	lacks := r.c.Provider.Features().Lacks
	if _, no := lacks[provider.KindKey]; !no && r.c.Key != "" {
		if _, err := r.replaced(ctx, &provider.Key{Stack: r.s.Name, Name: plan.KeyName, Public: r.c.Key}); err != nil {
			return err
		}
	}
	if _, no := lacks[provider.KindNetwork]; !no {
		if r.steps[provider.KindNetwork.Named(plan.NetworkName)].Do != plan.Nothing {
			if err := r.clearNetwork(ctx); err != nil {
				return err
			}
		}
		w := &provider.Network{Stack: r.s.Name, Name: plan.NetworkName, Prefix: r.s.Network.Prefix,
			DNS: r.s.Settings.DNS, External: r.s.Network.External}
		if _, err := r.replaced(ctx, w); err != nil {
			return err
		}
	}
	if _, no := lacks[provider.KindFirewall]; no {
		return nil
	}
	// All are given their rules again: what was changed by hand at the provider cannot be seen.
	return each(ctx, r.settings.Parallel, false, slices.Sorted(maps.Keys(r.rules)),
		func(ctx context.Context, name string) error {
			if _, err := r.replaced(ctx,
				&provider.Firewall{Stack: r.s.Name, Name: name, Rules: r.rules[name]}); err != nil {
				return err
			}
			return r.rec.Change(func(s *state.State) {
				if s.Firewalls == nil {
					s.Firewalls = make(map[string]string)
				}
				s.Firewalls[name] = plan.RulesDigest(r.rules[name])
			})
		})
}

// clearNetwork removes the servers and the firewalls of a network that is made anew.
func (r *run) clearNetwork(ctx context.Context) error {
	for _, kind := range []provider.Kind{provider.KindServer, provider.KindFirewall} {
		var old []provider.Resource
		for _, step := range r.plan.Steps {
			if v, there := r.resource(step.Kind, step.Name); there && step.Kind == kind && step.Do != plan.Create {
				old = append(old, v)
			}
		}
		err := each(ctx, r.settings.Parallel, false, old, func(ctx context.Context, v provider.Resource) error {
			r.say("%s %s is removed: its network is replaced", v.Kind, v.Name)
			return r.remove(ctx, v)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// makeLasting makes addresses and volumes.
func (r *run) makeLasting(ctx context.Context) error {
	var all []provider.Want
	for _, v := range r.s.Servers {
		if v.Public {
			all = append(all, &provider.Address{Stack: r.s.Name, Name: v.Name, External: r.s.Network.External})
		}
		for _, d := range v.Volumes {
			all = append(all, &provider.Volume{Stack: r.s.Name, Name: plan.VolumeName(v.Name, d.Name), Size: d.Size,
				Type: d.Type, Mount: d.Mount})
		}
	}
	all = slices.DeleteFunc(all, func(w provider.Want) bool {
		kind, _, name := w.Identity()
		there, _ := r.resource(kind, name)
		return r.steps[kind.Named(name)].Do == plan.Nothing && there.State != provider.Pending
	})
	return each(ctx, r.settings.Parallel, false, all, func(ctx context.Context, w provider.Want) error {
		kind, _, name := w.Identity()
		if do := r.steps[kind.Named(name)].Do; do == plan.Create {
			r.say("%s %s is made", kind, name)
		}
		if _, err := r.replaced(ctx, w); err != nil {
			return err
		}
		return r.rec.Change(func(s *state.State) {
			if i, known := slices.BinarySearch(s.Kept, string(kind)+" "+name); !known {
				s.Kept = slices.Insert(s.Kept, i, string(kind)+" "+name)
			}
		})
	})
}

// removeLeftover removes what the plan says nobody declares.
func (r *run) removeLeftover(ctx context.Context) error {
	for _, kind := range []provider.Kind{provider.KindServer, provider.KindAddress, provider.KindFirewall} {
		var old []provider.Resource
		for _, step := range r.plan.Steps {
			if v, there := r.resource(kind, step.Name); there && step.Kind == kind && step.Do == plan.Remove {
				old = append(old, v)
			}
		}
		err := each(ctx, r.settings.Parallel, false, old, func(ctx context.Context, v provider.Resource) error {
			r.say("%s %s is removed", v.Kind, v.Name)
			return r.remove(ctx, v)
		})
		if err != nil {
			return err
		}
	}
	return r.forgetUndeclared()
}

// forgetUndeclared drops from the state what the stack has no more.
func (r *run) forgetUndeclared() error {
	declared := make(map[string]bool)
	for _, v := range r.s.Servers {
		declared[v.Name] = true
	}
	var gone []string
	for name := range r.rec.Copy().Servers {
		if !declared[name] {
			gone = append(gone, name)
		}
	}
	for _, name := range gone {
		if err := r.v.ForgetUserData(name); err != nil {
			return fmt.Errorf("forgetting server %s: %w", name, err)
		}
	}
	return r.rec.Change(func(s *state.State) {
		for _, name := range gone {
			delete(s.Servers, name)
		}
		s.Kept = slices.DeleteFunc(s.Kept, func(v string) bool {
			return strings.HasPrefix(v, "address ") &&
				r.steps[provider.KindAddress.Named(v[len("address "):])].Do == plan.Remove
		})
		maps.DeleteFunc(s.Firewalls, func(name, _ string) bool { return r.rules[name] == nil })
		maps.DeleteFunc(s.Images, func(key string, _ state.Image) bool {
			return !slices.ContainsFunc(r.s.Servers, func(v stack.Server) bool { return plan.ImageKey(v) == key })
		})
	})
}
