package cloud

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"griddle/cloud/provider"
	"griddle/cloud/state"
)

// Deletion is what Delete takes away.
type Deletion struct {
	Stack string              `json:"stack"`
	Goes  []provider.Resource `json:"goes"`            // in the order in which it goes
	Stays []provider.Resource `json:"stays,omitempty"` // volumes that are kept
}

// DeleteOptions are how a stack is deleted.
type DeleteOptions struct {
	Confirm  func(*Deletion) error // is shown what goes before anything does; an error stops. nil confirms
	KeepDisk bool                  // volumes stay, and with them secrets and private addresses: Up finds them again
	Force    bool                  // continue if something cannot be removed, and report it at the end
}

// Describe says what Delete would take away. Images stay: other stacks may use them; see Collect.
func (c *Cloud) Describe(ctx context.Context, name string, keepDisk bool) (*Deletion, error) {
	_, have, err := c.inspect(ctx, name)
	if err != nil {
		return nil, err
	}
	d := &Deletion{Stack: name}
	for _, r := range slices.Backward(have) {
		if keepDisk && r.Kind == provider.KindVolume {
			d.Stays = append(d.Stays, r)
		} else {
			d.Goes = append(d.Goes, r)
		}
	}
	return d, nil
}

// Delete removes all resources that have the labels of a stack, and nothing else; then it looks whether anything is
// left, and forgets the stack. Killed, it is called again.
func (c *Cloud) Delete(ctx context.Context, name string, o DeleteOptions) error {
	if _, err := c.Describe(ctx, name, o.KeepDisk); err != nil {
		return err
	}
	r, end, err := c.begin(name, "delete", nil)
	if err != nil {
		return err
	}
	defer end()
	d, err := c.Describe(ctx, name, o.KeepDisk)
	if err != nil {
		return err
	}
	if o.Confirm != nil {
		if err := o.Confirm(d); err != nil {
			return err
		}
	}
	kinds := provider.Kinds()
	slices.Reverse(kinds)
	var stages []provider.Kind
	for _, k := range kinds {
		if slices.ContainsFunc(d.Goes, func(v provider.Resource) bool { return v.Kind == k }) {
			stages = append(stages, k)
		}
	}
	r.stage.Of = len(stages) + 1
	var failed error
	for _, k := range stages {
		err := r.do(ctx, "remove "+plural(k), func(ctx context.Context) error { return r.removeKind(ctx, d.Goes, k) })
		failed = errors.Join(failed, err)
		if err != nil && (!o.Force || ctx.Err() != nil) {
			return failed
		}
	}
	err = r.do(ctx, "look for what is left over", func(ctx context.Context) error {
		return r.nothingLeft(ctx, o.KeepDisk)
	})
	if failed = errors.Join(failed, err); failed != nil {
		return failed
	}
	if o.KeepDisk && len(d.Stays) > 0 {
		return r.reserve()
	}
	if err := r.dir.Remove(); err != nil {
		return fmt.Errorf("forgetting stack %s: %w", name, err)
	}
	return nil
}

func plural(k provider.Kind) string {
	if k == provider.KindAddress {
		return "addresses"
	}
	return string(k) + "s"
}

func (r *run) removeKind(ctx context.Context, all []provider.Resource, k provider.Kind) error {
	var these []provider.Resource
	for _, v := range all {
		if v.Kind == k {
			these = append(these, v)
		}
	}
	return each(ctx, r.settings.Parallel, false, these, func(ctx context.Context, v provider.Resource) error {
		if err := r.remove(ctx, v); err != nil {
			return err
		}
		r.say("%s %s is removed", v.Kind, v.Name)
		return nil
	})
}

// nothingLeft is an error that names what the provider still lists.
func (r *run) nothingLeft(ctx context.Context, keepDisk bool) error {
	all, err := r.watch.Look(ctx)
	if err != nil {
		return err
	}
	var left []string
	for k := range all {
		if !keepDisk || k.Kind != provider.KindVolume {
			left = append(left, string(k.Kind)+" "+k.Name)
		}
	}
	if len(left) == 0 {
		return nil
	}
	slices.Sort(left)
	return fmt.Errorf("still there: %s", strings.Join(left, ", "))
}

// reserve leaves of the state what belongs to the volumes.
func (r *run) reserve() error {
	var names []string
	for name := range r.rec.Copy().Servers {
		names = append(names, name)
	}
	err := r.rec.Change(func(s *state.State) {
		s.Firewalls, s.Outputs = nil, nil
		s.Kept = slices.DeleteFunc(s.Kept, func(v string) bool { return strings.HasPrefix(v, "address ") })
		for _, v := range s.Servers {
			v.Phase, v.Spec, v.Origin = state.Reserved, nil, nil
		}
	})
	for _, name := range names {
		err = errors.Join(err, r.v.ForgetUserData(name))
	}
	return err
}
