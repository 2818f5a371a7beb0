package main

import (
	"context"
	"errors"
	"fmt"

	"griddle/appliance/setting"
	"griddle/initramfs/luks"
	"griddle/initramfs/pool"
)

// unlocked opens an encrypted pool that a job works on: by the TPM, by the passphrase of the settings, or by a recovery
// key of the machine. Each of the others is asked for only where nothing before opens it; nil are none. It returns what
// closes it again. The programs for that are got by tools. Other pools stay as they are.
func unlocked(ctx context.Context, place pool.Place, tools func(context.Context, ...string) error,
	settings func(context.Context) (setting.Settings, error),
	recovery func(context.Context) ([]string, error)) (opened pool.Place, shut func() error, err error) {
	if !place.Encrypted() {
		return place.Unlock(ctx)
	}
	if err := tools(ctx, luks.Program); err != nil {
		return place, nil, fmt.Errorf("the pool of this machine is encrypted: %w", err)
	}
	err = keys(settings, recovery)(ctx, pool.ErrClosed, func(keys [][]byte) (err error) {
		opened, shut, err = place.Unlock(ctx, keys...)
		return err
	})
	return opened, shut, err
}

// keys has something that is encrypted opened, without a key first, then by the passphrase of the settings, and then by
// a recovery key. Each of these is asked for only where what was before left it closed; nil are none.
func keys(settings func(context.Context) (setting.Settings, error), recovery func(context.Context) ([]string, error),
) func(ctx context.Context, closed error, open func(keys [][]byte) error) error {
	return func(ctx context.Context, closed error, open func(keys [][]byte) error) error {
		err := open(nil)
		if errors.Is(err, closed) && settings != nil {
			s, err2 := settings(ctx)
			if err2 != nil {
				return err2
			}
			err = open([][]byte{[]byte(s.Disks.Passphrase)})
		}
		if errors.Is(err, closed) && recovery != nil {
			all, err2 := recovery(ctx)
			if err2 != nil {
				return err2
			}
			var keys [][]byte
			for _, key := range all {
				keys = append(keys, []byte(key))
			}
			err = open(keys)
		}
		if err != nil {
			err = fmt.Errorf("%w; give the settings of this machine its passphrase with disks: {passphrase: …}", err)
		}
		return err
	}
}

// once is ask with an answer that is kept; nil for nil.
func once(ask func(context.Context) (setting.Settings, error)) func(context.Context) (setting.Settings, error) {
	if ask == nil {
		return nil
	}
	var kept *setting.Settings
	return func(ctx context.Context) (setting.Settings, error) {
		if kept != nil {
			return *kept, nil
		}
		s, err := ask(ctx)
		if err == nil {
			kept = &s
		}
		return s, err
	}
}
