package cloud

import (
	"context"
	"slices"
	"time"

	"griddle/cloud/provider"
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
	call repeater) (got provider.Resource, err error) {
	call.limit += time.Duration(i.Size/uploadMinute) * time.Minute
	err = call.do(ctx, "making image "+i.Name, func(ctx context.Context) (err error) {
		got, err = p.Ensure(ctx, i)
		return err
	})
	if err != nil || got.State == provider.Ready {
		return got, err
	}
	call.first = false // it has answered
	within, stop := context.WithTimeoutCause(ctx, call.limit, late(call.limit))
	defer stop()
	err = newWatch(p, "", call).until(within, provider.KindImage.Named(got.Name),
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
	err := call.do(ctx, "looking at the images", func(ctx context.Context) (err error) {
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
	return call.do(ctx, "removing image "+name, func(ctx context.Context) error { return p.Remove(ctx, all[i]) })
}

// calls is how a provider is called where no stack's settings say otherwise.
func calls(jitter func() float64) repeater {
	return repeater{limit: patience(stack.Settings{}).Call, jitter: jitter, log: discard(), first: true}
}
