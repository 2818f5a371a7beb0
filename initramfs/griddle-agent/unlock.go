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
	recovery func(context.Context) ([]string, error)) (pool.Place, func() error, error) {
	if !place.Encrypted() {
		return place.Unlock(ctx)
	}
	if err := tools(ctx, luks.Program); err != nil {
		return place, nil, fmt.Errorf("the pool of this machine is encrypted: %w", err)
	}
	opened, shut, err := place.Unlock(ctx)
	if errors.Is(err, pool.ErrClosed) && settings != nil {
		s, err2 := settings(ctx)
		if err2 != nil {
			return place, nil, err2
		}
		opened, shut, err = place.Unlock(ctx, []byte(s.Disks.Passphrase))
	}
	if errors.Is(err, pool.ErrClosed) && recovery != nil {
		all, err2 := recovery(ctx)
		if err2 != nil {
			return place, nil, err2
		}
		var keys [][]byte
		for _, key := range all {
			keys = append(keys, []byte(key))
		}
		opened, shut, err = place.Unlock(ctx, keys...)
	}
	if err != nil {
		err = fmt.Errorf("%w; give the settings of this machine its passphrase with disks: {passphrase: …}", err)
	}
	return opened, shut, err
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
