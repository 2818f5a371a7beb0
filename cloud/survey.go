package cloud

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"griddle/cloud/plan"
	"griddle/cloud/provider"
	"griddle/cloud/stack"
	"griddle/cloud/state"
)

func (c *Cloud) stateOrNew(name string) (*state.State, error) {
	d, err := c.State.Directory(name)
	if err != nil {
		return nil, err
	}
	return d.LoadOrNew()
}

// survey asks for all that a plan is made from.
func (c *Cloud) survey(ctx context.Context, s *stack.Stack, st *state.State) (plan.Input, error) {
	in := plan.Input{Stack: s, State: st, Features: c.Provider.Features(), Key: c.Key, Render: c.Render,
		Declared: c.Declared, Versions: make(map[string]string)}
	r := &run{c: c, settings: withDefaults(s.Settings), log: discard()}
	call := r.call()
	call.First, call.Tell = true, c.tell
	list := func(what, name string) (all []provider.Resource, err error) {
		err = call.Do(ctx, what, func(ctx context.Context) (err error) {
			all, err = c.Provider.List(ctx, name)
			return err
		})
		return all, err
	}
	var err error
	if in.Have, err = list("looking at stack "+s.Name, s.Name); err != nil {
		return in, err
	}
	if in.Images, err = list("looking at the images", ""); err != nil {
		return in, err
	}
	if len(in.Have) == 0 && !maps.Equal(st.Options, s.Options) && slices.ContainsFunc(
		slices.Collect(maps.Values(st.Servers)), func(v *state.Server) bool { return v.Origin != nil }) {
		return in, fmt.Errorf("stack %s was made with other options of the provider (%s), and nothing of it is found "+
			"with these: delete it there first, or give the new one another name", s.Name, optionsText(st.Options))
	}
	var faults []error
	for _, v := range s.Servers {
		key := plan.ImageKey(v)
		if _, done := in.Versions[key]; done {
			continue
		}
		version, err := c.Images.Resolve(ctx, v.Image, v.Arch)
		_, pinned := st.Images[key]
		if err != nil && !pinned {
			faults = append(faults, fmt.Errorf("server %s: image %s: %w", v.Name, v.Image, err))
		}
		in.Versions[key] = version
	}
	return in, errors.Join(faults...)
}

// tell reports something outside of any stage.
func (c *Cloud) tell(format string, a ...any) {
	if c.Report != nil {
		c.Report(Event{Time: time.Now(), Text: fmt.Sprintf(format, a...)})
	}
}

func optionsText(o map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(o)) {
		out = append(out, k+"="+o[k])
	}
	return strings.Join(out, ", ")
}

// Check asks the provider and the catalog whether a stack can be made as it is declared: the credentials, the sizes,
// the images and what they hold. It takes no lock and changes nothing; every fault is in the error.
func (c *Cloud) Check(ctx context.Context, s *stack.Stack) error {
	st, err := c.stateOrNew(s.Name)
	if err != nil {
		return err
	}
	r := &run{c: c, settings: withDefaults(s.Settings), log: discard()}
	in, err := c.survey(ctx, s, st)
	if errors.Is(err, provider.ErrCredentials) || errors.Is(err, provider.ErrUnreachable) {
		return err // all else would say the same
	}
	faults := []error{err, c.sizes(ctx, r, s)}
	if err == nil {
		p, err := plan.Make(in)
		if faults = append(faults, err); err == nil {
			faults = append(faults, c.checkImages(ctx, s, p))
		}
	}
	return errors.Join(faults...)
}

// sizes checks that what is declared can be had.
func (c *Cloud) sizes(ctx context.Context, r *run, s *stack.Stack) error {
	var all []provider.Size
	err := r.call().Do(ctx, "asking for the sizes", func(ctx context.Context) (err error) {
		all, err = c.Provider.Sizes(ctx)
		return err
	})
	if err != nil {
		return err
	}
	var faults []error
	for _, v := range s.Servers {
		if !slices.ContainsFunc(all, func(z provider.Size) bool { return z.Name == v.Size }) {
			faults = append(faults,
				fmt.Errorf("server %s: the provider has no size %q: %w", v.Name, v.Size, provider.ErrInvalid))
		}
	}
	return errors.Join(faults...)
}

// checkImages checks what is going to be built: an image that the provider has was checked before.
func (c *Cloud) checkImages(ctx context.Context, s *stack.Stack, p *plan.Plan) error {
	var faults []error
	done := make(map[string]bool)
	for _, v := range s.Servers {
		key := plan.ImageKey(v)
		version := p.Versions[key]
		name := version + "@" + v.Arch
		if done[name] || version == "" || p.Index()[provider.KindImage.Named(name)].Do == plan.Nothing {
			continue
		}
		done[name] = true
		var of []stack.Server
		for _, o := range s.Servers {
			if p.Versions[plan.ImageKey(o)] == version && o.Arch == v.Arch {
				of = append(of, o)
			}
		}
		faults = append(faults, c.Images.Check(ctx, version, v.Arch, of, c.Provider.Features().Format))
	}
	return errors.Join(faults...)
}
