package main

import (
	"context"
	"fmt"

	"griddle/appliance/setting"
	"griddle/initramfs/luks"
	"griddle/initramfs/mounts/opening"
	"griddle/initramfs/pool"
)

// unlocked opens an encrypted pool that a job works on, by the TPM or by keys. It returns what closes it again. The
// programs for that are got by tools. Other pools stay as they are.
func unlocked(ctx context.Context, place pool.Place, tools func(context.Context, ...string) error,
	keys opening.Keys) (opened pool.Place, shut func() error, err error) {
	if !place.Encrypted() {
		return place.Unlock(ctx)
	}
	if err := tools(ctx, luks.Program); err != nil {
		return place, nil, fmt.Errorf("the pool of this machine is encrypted: %w", err)
	}
	err = keys(ctx, pool.ErrClosed, func(keys [][]byte) (err error) {
		opened, shut, err = place.Unlock(ctx, keys...)
		return err
	})
	return opened, shut, err
}

// keys open what is encrypted: the passphrase of the settings, and then a recovery key of the machine; nil are none.
func keys(settings func(context.Context) (setting.Settings, error),
	recovery func(context.Context) ([]string, error)) opening.Keys {
	var passphrase, others func(context.Context) ([][]byte, error)
	if settings != nil {
		passphrase = func(ctx context.Context) ([][]byte, error) {
			s, err := settings(ctx)
			return [][]byte{[]byte(s.Disks.Passphrase)}, err
		}
	}
	if recovery != nil {
		others = func(ctx context.Context) (out [][]byte, err error) {
			all, err := recovery(ctx)
			for _, key := range all {
				out = append(out, []byte(key))
			}
			return out, err
		}
	}
	return opening.Asked(passphrase, others)
}

// once is ask with an answer that is kept; nil for nil.
func once[T any](ask func(context.Context) (T, error)) func(context.Context) (T, error) {
	if ask == nil {
		return nil
	}
	var kept *T
	return func(ctx context.Context) (T, error) {
		if kept != nil {
			return *kept, nil
		}
		got, err := ask(ctx)
		if err == nil {
			kept = &got
		}
		return got, err
	}
}
