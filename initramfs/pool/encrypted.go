package pool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"griddle/initramfs/luks"
)

// ErrClosed is wrapped by errors of an encrypted pool that is not open.
var ErrClosed = errors.New("the pool is encrypted, and not open")

// encrypted fills in what is known of an encrypted pool without its key: its partition, and the opened volume, if it is
// open.
func (p *Place) encrypted(sys, volume string) {
	p.Partition, p.Volume = p.Pool, strings.ToLower(volume)
	p.Pool = opened(sys, filepath.Base(p.Partition), p.Volume)
}

// opened is the device file of the opened volume that a partition is, "" if it is not open. Its name does not count:
// each system gives it another one. The kernel says what uses the partition, and device-mapper of which volume it is
// (CRYPT-LUKS2-UUID-NAME, cryptsetup's lib/libdevmapper.c: dm_prepare_uuid).
func opened(sys, partition, volume string) string {
	holders, err := filepath.Glob(filepath.Join(sys, "class/block", partition, "holders/*/dm/uuid"))
	if err != nil || volume == "" {
		return ""
	}
	for _, h := range holders {
		if isVolume(h, volume) {
			return "/dev/" + filepath.Base(filepath.Dir(filepath.Dir(h)))
		}
	}
	return ""
}

// isVolume says whether a file of sysfs with the UUID of a device of device-mapper is that of an opened volume; "" is
// any volume.
func isVolume(file, volume string) bool {
	b, err := os.ReadFile(file)
	id, ok := strings.CutPrefix(string(b), "CRYPT-LUKS2-")
	return err == nil && ok && strings.HasPrefix(id, strings.ReplaceAll(volume, "-", ""))
}

// below is the folder in sysfs of the partition that a device is in: the device itself, or what an opened volume of
// LUKS2 is in. The device is one as the table of mounts names it.
func below(sys, source string) (string, error) {
	at := filepath.Join(sys, "class/block", filepath.Base(source))
	if node, err := filepath.EvalSymlinks(source); err == nil { // /dev/mapper has links
		at = filepath.Join(sys, "class/block", filepath.Base(node))
	}
	if _, err := os.Stat(at); err != nil { // or it has device files
		number, err2 := numberOf(source)
		if err2 != nil {
			return "", err
		}
		at = filepath.Join(sys, "dev/block", number)
	}
	at, err := filepath.EvalSymlinks(at)
	if err != nil || !isVolume(filepath.Join(at, "dm/uuid"), "") {
		return at, err
	}
	slaves, err := filepath.Glob(filepath.Join(at, "slaves/*"))
	if err == nil && len(slaves) != 1 {
		err = fmt.Errorf("the opened volume %s is on %d devices", source, len(slaves))
	}
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(slaves[0])
}

// Encrypted says whether the pool is encrypted.
func (p Place) Encrypted() bool { return p.Volume != "" }

// closed is ErrClosed for an encrypted pool that is not open, with what a person can do.
func (p Place) closed() error {
	if p.Volume == "" || p.Pool != "" {
		return nil
	}
	return fmt.Errorf("opening the pool of %s: %w: open it with `cryptsetup open %s %s`, which asks for its "+
		"passphrase", p.Disk, ErrClosed, p.Partition, luks.Name(p.Volume))
}

// Unlock opens the volume of an encrypted pool that is closed: by the TPM of this machine, or by the first of some
// passphrases and recovery keys that does; empty ones are not tried. It returns the place with the opened volume, and
// what closes that when nothing of it is mounted. It does nothing for a pool that is open or not encrypted. It is
// ErrClosed if nothing of it opens the volume.
func (p Place) Unlock(ctx context.Context, keys ...[]byte) (Place, func() error, error) {
	none := func() error { return nil }
	if p.closed() == nil {
		return p, none, nil
	}
	wrong := func(err error) (Place, func() error, error) {
		return p, none, fmt.Errorf("opening the pool of %s: %w: %w", p.Disk, ErrClosed, err)
	}
	if err := luks.Ready(ctx); err != nil {
		return wrong(err)
	}
	node, err := luks.OpenByTPM(ctx, p.Partition, p.Volume)
	if err != nil && slices.ContainsFunc(keys, func(key []byte) bool { return len(key) > 0 }) {
		node, err = luks.Open(ctx, p.Partition, p.Volume, keys...)
	}
	if err != nil {
		return wrong(err)
	}
	p.Pool = node
	return p, func() error { return luks.Close(context.WithoutCancel(ctx), p.Volume) }, nil
}
