// Package opening starts and opens, in the boot image, what the systems of a pool mount beside it: arrays, volume
// groups and encrypted volumes. The systems themselves do that by mdadm, lvm and systemd.
//
// Call Open before another root is made for a pool, which mounts all of it (package newroot), and what it returns when
// nothing of it is mounted any more.
package opening

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"griddle/initramfs/luks"
	"griddle/initramfs/mounts"
	"griddle/initramfs/volume/kept"
)

// Needs is where Open gets what it needs.
type Needs struct {
	// Tools brings programs that the boot image has not; nil: all are there.
	Tools func(ctx context.Context, programs ...string) error
	// Keys are those of the machine, see Asked; nil: there are none.
	Keys Keys
}

// Keys calls open with one kind of keys after the other, first without any, while open returns an error that wraps
// closed. Its own error says what a person can do.
type Keys func(ctx context.Context, closed error, open func(keys [][]byte) error) error

// Asked are Keys that are asked for, in this order. Each is asked only where what was before left something closed.
// Some may be nil.
func Asked(kinds ...func(context.Context) ([][]byte, error)) Keys {
	return func(ctx context.Context, closed error, open func(keys [][]byte) error) error {
		err := open(nil)
		for _, ask := range kinds {
			if ask == nil || !errors.Is(err, closed) {
				continue
			}
			keys, refused := ask(ctx)
			if refused != nil {
				return refused
			}
			err = open(keys)
		}
		if errors.Is(err, closed) {
			err = fmt.Errorf("%w; give the settings of this machine its passphrase with disks: {passphrase: …}", err)
		}
		return err
	}
}

// work is one Open.
type work struct {
	Needs
	undo []func() error
}

// Open starts and opens what the systems of the pool whose top is at a path mount. What is started or open already
// stays. It returns what lets go of the rest. After an error nothing is started or open that was not before.
func Open(ctx context.Context, top string, n Needs) (end func() error, err error) {
	o := &work{Needs: n}
	if err = o.volumes(ctx, top); err == nil {
		err = o.encrypted(ctx, top)
	}
	if err != nil {
		return nil, errors.Join(err, o.end())
	}
	return o.end, nil
}

func (o *work) end() (err error) {
	for _, f := range slices.Backward(o.undo) {
		err = errors.Join(err, f())
	}
	o.undo = nil
	return err
}

func (o *work) tools(ctx context.Context, programs ...string) error {
	if o.Tools == nil {
		return nil
	}
	return o.Tools(ctx, programs...)
}

// volumes starts the arrays and the volume groups.
func (o *work) volumes(ctx context.Context, top string) error {
	record, err := kept.Of(top)
	if err != nil || len(record.Programs()) == 0 {
		return err
	}
	if err := o.tools(ctx, record.Programs()...); err != nil {
		return fmt.Errorf("programs for the volumes of this machine: %w", err)
	}
	release, err := record.Start(ctx)
	if err != nil {
		return err
	}
	o.undo = append(o.undo, func() error { return release(context.WithoutCancel(ctx)) })
	return nil
}

// encrypted opens the encrypted volumes, but not those of swap, which no one needs here.
func (o *work) encrypted(ctx context.Context, top string) error {
	persistent, err := os.OpenRoot(filepath.Join(top, "@persistent"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening @persistent of the pool: %w", err)
	}
	all, err := mounts.Read(persistent)
	if err := errors.Join(err, persistent.Close()); err != nil {
		return err
	}
	all = slices.DeleteFunc(mounts.Encrypted(all), func(m mounts.Mount) bool { return m.Path == "" })
	if len(all) == 0 {
		return nil
	}
	if err = o.tools(ctx, luks.Program); err == nil {
		err = luks.Ready(ctx)
	}
	if err != nil {
		return fmt.Errorf("the systems of this machine have encrypted partitions: %w", err)
	}
	for _, m := range all {
		if err := o.open(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// open opens an encrypted volume, by the TPM or by a key of the machine.
func (o *work) open(ctx context.Context, m mounts.Mount) error {
	var end func() error
	try := func(keys [][]byte) (err error) {
		end, err = m.Open(ctx, keys...)
		return err
	}
	err := error(nil)
	if o.Keys == nil {
		err = try(nil)
	} else {
		err = o.Keys(ctx, mounts.ErrClosed, try)
	}
	if err != nil {
		return err
	}
	o.undo = append(o.undo, end)
	return nil
}
