package cloud

import (
	"context"
	"fmt"

	"griddle/cloud/plan"
	"griddle/cloud/provider"
	"griddle/cloud/provider/retry"
)

// failure is a resource that the provider gave up.
type failure struct{ r provider.Resource }

func (f *failure) Error() string {
	return fmt.Sprintf("%s %s failed: %s", f.r.Kind, f.r.Name, f.r.Reason)
}

// ensure has the provider make w, and knows the result. The resource may be pending.
func (r *run) ensure(ctx context.Context, w provider.Want) (provider.Resource, error) {
	kind, _, name := w.Identity()
	var got provider.Resource
	err := r.call().Do(ctx, fmt.Sprintf("making %s %s", kind, name), func(ctx context.Context) (err error) {
		got, err = r.c.Provider.Ensure(ctx, w)
		return err
	})
	if err != nil {
		return got, err
	}
	r.know(got)
	return got, nil
}

// ready has the provider make w, and waits until it can be used.
func (r *run) ready(ctx context.Context, w provider.Want) (provider.Resource, error) {
	got, err := r.ensure(ctx, w)
	if err != nil || got.State == provider.Ready {
		return got, err
	}
	within, stop := context.WithTimeoutCause(ctx, r.settings.Call, retry.Late(r.settings.Call))
	defer stop()
	return r.settled(within, w, got)
}

// settled waits until what was made is no longer pending. What is not listed for a while is asked for again: a list can
// lag behind, and somebody may have deleted it.
func (r *run) settled(ctx context.Context, w provider.Want, got provider.Resource) (provider.Resource, error) {
	absent := 0
	err := r.watch.Until(ctx, got.KindName(), func(v provider.Resource, there bool) (bool, error) {
		if !there || v.State == provider.Removing {
			if absent++; absent%8 == 0 {
				_, err := r.ensure(ctx, w)
				return false, err
			}
			return false, nil
		}
		absent, got = 0, v
		if v.State == provider.Failed {
			return true, &failure{v}
		}
		return v.State != provider.Pending, nil
	})
	if err == nil {
		r.know(got)
	}
	return got, err
}

// remove takes a resource away, and waits until it is gone.
func (r *run) remove(ctx context.Context, v provider.Resource) error {
	err := r.call().Do(ctx, fmt.Sprintf("removing %s %s", v.Kind, v.Name), func(ctx context.Context) error {
		return r.c.Provider.Remove(ctx, v)
	})
	if err != nil {
		return err
	}
	within, stop := context.WithTimeoutCause(ctx, r.settings.Call, retry.Late(r.settings.Call))
	defer stop()
	if err := r.watch.Gone(within, v); err != nil {
		return err
	}
	r.forget(v)
	return nil
}

// replaced removes what is to be replaced, if it is there, and makes w.
func (r *run) replaced(ctx context.Context, w provider.Want) (provider.Resource, error) {
	kind, _, name := w.Identity()
	if old, there := r.resource(kind, name); there && r.steps[kind.Named(name)].Do == plan.Replace {
		r.say("%s %s is removed: %s", kind, name, r.steps[kind.Named(name)].Why)
		if err := r.remove(ctx, old); err != nil {
			return old, err
		}
	}
	return r.ready(ctx, w)
}
