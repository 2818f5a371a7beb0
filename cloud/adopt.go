package cloud

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"griddle/cloud/plan"
	"griddle/cloud/provider"
	"griddle/cloud/provider/retry"
	"griddle/cloud/stack"
	"griddle/cloud/state"
)

// Adopt rebuilds the lost state of a stack from the resources that have its labels at the provider; it returns them.
// Servers stay as they are: what they were created from is not known, so Up leaves them alone and Upgrade replaces
// them. Secrets that had been generated are lost with the state: what is made from now on gets others. Outputs are read
// again by Up.
func (c *Cloud) Adopt(ctx context.Context, s *stack.Stack) ([]provider.Resource, error) {
	r, end, err := c.begin(s.Name, "adopt", s)
	if err != nil {
		return nil, err
	}
	defer end()
	for name, v := range r.rec.Copy().Servers {
		if v.Origin != nil {
			return nil, fmt.Errorf("adopting stack %s: its state is there, and knows server %s", s.Name, name)
		}
	}
	r.stage.Of = 1
	r.watch.Policy.First = true
	var found []provider.Resource
	err = r.do(ctx, "find resources by their labels", func(ctx context.Context) error {
		all, err := r.watch.Look(ctx)
		if err != nil {
			return err
		}
		images, err := retry.NewWatch(c.Provider, "", r.call()).Look(ctx)
		if err != nil {
			return err
		}
		for _, v := range all {
			found = append(found, v)
			r.know(v)
		}
		slices.SortFunc(found, byKindAndName)
		if len(found) == 0 {
			return fmt.Errorf("the provider has nothing with the labels of stack %s: %w", s.Name, provider.ErrNotFound)
		}
		return r.adopt(s, found, images)
	})
	return found, err
}

func byKindAndName(a, b provider.Resource) int {
	kinds := provider.Kinds()
	if d := slices.Index(kinds, a.Kind) - slices.Index(kinds, b.Kind); d != 0 {
		return d
	}
	return strings.Compare(a.Name, b.Name)
}

func (r *run) adopt(s *stack.Stack, found []provider.Resource, images map[provider.KindName]provider.Resource) error {
	scale := grown(s, found)
	all, err := plan.Scaled(s, scale)
	if err != nil {
		return err
	}
	digest := make(map[string]string) // of images, by ID
	for _, v := range images {
		digest[v.ID] = v.Digest
	}
	r.s, r.plan = all, &plan.Plan{}
	if err := r.declare(&state.State{Scale: scale, Images: make(map[string]state.Image)}); err != nil {
		return err
	}
	return r.rec.Change(func(st *state.State) {
		for _, v := range all.Servers {
			at, there := r.resource(provider.KindServer, v.Name)
			if !there || at.State == provider.Removing {
				delete(st.Servers, v.Name)
				continue
			}
			st.Servers[v.Name] = &state.Server{Role: v.Role, Private: at.Private, Phase: state.Booted,
				Origin: r.madeFrom(at)}
			if key := plan.ImageKey(v); st.Images[key].Digest == "" && digest[at.Image] != "" {
				st.Images[key] = state.Image{Digest: digest[at.Image]}
			}
			r.say("server %s is adopted", v.Name)
		}
	})
}

// grown gives the counts of roles of which more servers were found than are declared, within their bounds: the stack
// had been scaled.
func grown(s *stack.Stack, found []provider.Resource) map[string]int {
	var out map[string]int
	for _, role := range s.Roles {
		most := role.Count
		for _, v := range found {
			number, ok := strings.CutPrefix(v.Name, role.Name+"-")
			n, err := strconv.Atoi(number)
			if ok && err == nil && v.Kind == provider.KindServer && n > most && (role.Max == 0 || n <= role.Max) {
				most = n
			}
		}
		if most > role.Count {
			if out == nil {
				out = make(map[string]int)
			}
			out[role.Name] = most
		}
	}
	return out
}
