package mounts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"griddle/initramfs/luks"
)

// ErrClosed is wrapped by errors of an encrypted filesystem that nothing here opens.
var ErrClosed = errors.New("it is encrypted, and not open")

// Open opens the volume of an encrypted filesystem: by the TPM, or by the first of some passphrases and recovery keys
// that does; empty ones are not tried. It returns what closes the volume, and does nothing if the volume is open. It is
// ErrClosed if nothing of it opens the volume.
func (m Mount) Open(ctx context.Context, keys ...[]byte) (close func() error, err error) {
	none := func() error { return nil }
	if _, err := os.Stat(luks.Node(m.Volume)); m.Volume == "" || err == nil {
		return none, nil
	}
	node, err := Mount{UUID: m.Volume, Filesystem: "encrypted volume"}.Node(ctx)
	if err != nil {
		return none, err
	}
	err = luks.ErrKey
	if m.TPM {
		_, err = luks.OpenByTPM(ctx, node, m.Volume)
	}
	if err != nil && slices.ContainsFunc(keys, func(key []byte) bool { return len(key) > 0 }) {
		_, err = luks.Open(ctx, node, m.Volume, keys...)
	}
	if err != nil {
		return none, fmt.Errorf("opening what is mounted at %s: %w: %w", m.Path, ErrClosed, err)
	}
	return func() error { return luks.Close(context.WithoutCancel(ctx), m.Volume) }, nil
}

// opened is the device file of an encrypted filesystem whose volume is open.
func (m Mount) opened() (string, error) {
	node := luks.Node(m.Volume)
	if _, err := os.Stat(node); err != nil {
		return "", fmt.Errorf("looking for what is mounted at %s: %w; restart the machine and type its passphrase, "+
			"or open it with `cryptsetup open UUID=%s %s`", m.Path, ErrClosed, m.Volume, luks.Name(m.Volume))
	}
	return node, nil
}
