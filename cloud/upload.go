package cloud

import (
	"context"
	"slices"
	"time"

	"griddle/cloud/provider"
	"griddle/cloud/provider/retry"
	"griddle/cloud/stack"
)

// An upload gets a minute for each uploadMinute bytes, beyond what a call gets.
const uploadMinute = 64 << 20

// Upload has a provider take an image that no stack needs yet, and waits until servers can be made of it. One with its
// digest that is there already is returned as it is. Called again after an error or a kill it makes nothing twice.
func Upload(ctx context.Context, p provider.Provider, i *provider.Image) (provider.Resource, error) {
	return upload(ctx, p, i, calls(nil))
}

func upload(ctx context.Context, p provider.Provider, i *provider.Image,
	call retry.Policy) (got provider.Resource, err error) {
	call.Limit += time.Duration(i.Size/uploadMinute) * time.Minute
	err = call.Do(ctx, "making image "+i.Name, func(ctx context.Context) (err error) {
		got, err = p.Ensure(ctx, i)
		return err
	})
	if err != nil || got.State == provider.Ready {
		return got, err
	}
	call.First = false // it has answered
	within, stop := context.WithTimeoutCause(ctx, call.Limit, retry.Late(call.Limit))
	defer stop()
	err = retry.NewWatch(p, "", call).Until(within, provider.KindImage.Named(got.Name),
		func(v provider.Resource, there bool) (bool, error) {
			if there && v.State == provider.Failed {
				return true, &failure{v}
			}
			if there {
				got = v
			}
			return there && v.State == provider.Ready, nil
		})
	return got, err
}

// Withdraw removes the image of that name, which Upload made or began to make, from a provider; nil where there is
// none. Servers that were made of it must be gone before.
func Withdraw(ctx context.Context, p provider.Provider, name string) error {
	call := calls(nil)
	var all []provider.Resource
	err := call.Do(ctx, "looking at the images", func(ctx context.Context) (err error) {
		all, err = p.List(ctx, "")
		return err
	})
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(r provider.Resource) bool { return r.Kind == provider.KindImage && r.Name == name })
	if i < 0 {
		return nil
	}
	return call.Do(ctx, "removing image "+name, func(ctx context.Context) error { return p.Remove(ctx, all[i]) })
}

// calls is how a provider is called where no stack's settings say otherwise.
func calls(jitter func() float64) retry.Policy {
	return retry.Policy{Limit: withDefaults(stack.Settings{}).Call, Jitter: jitter, Log: discard(), First: true}
}
