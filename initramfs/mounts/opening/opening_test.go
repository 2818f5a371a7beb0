package opening_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/luks"
	"griddle/initramfs/machinekey"
	"griddle/initramfs/mounts"
	"griddle/initramfs/mounts/opening"
	"griddle/initramfs/umltest/fattest"
)

// TestOpen opens what a pool's systems have encrypted, by a passphrase, under user-mode Linux, which
// has device-mapper.
func TestOpen(t *testing.T) {
	const volume, filesystem = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab", "6c2f0a4e-7a1c-4d3e-9f00-0123456789ab"
	image := ""
	if !fattest.Inside() {
		image = filepath.Join(t.TempDir(), "disk")
		if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 64<<20),
			luks.Make(t.Context(), image, luks.Volume{UUID: volume, Passphrase: []byte("correct horse"),
				Cost: luks.Cheap})); err != nil {
			t.Fatal(err)
		}
	}
	if fattest.Run(t, "/", image) {
		return
	}
	fattest.Load(t, "crypto/cbc", "crypto/ecb", "crypto/xts", "crypto/af_alg", "crypto/algif_skcipher",
		"security/keys/encrypted-keys/encrypted-keys", "drivers/md/dm-mod", "drivers/md/dm-crypt")
	inside, err := luks.Open(t.Context(), "/dev/ubda", volume, []byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	disktest.Tool(t, "mkfs.ext4", "-q", "-U", filesystem, inside)
	if err := luks.Close(t.Context(), volume); err != nil {
		t.Fatal(err)
	}
	bare, top := t.TempDir(), t.TempDir()
	keep(t, top, []mounts.Mount{{UUID: filesystem, Filesystem: "ext4", Path: "/srv", Volume: volume},
		{UUID: "7d2f0a4e-7a1c-4d3e-9f00-0123456789ab", Filesystem: mounts.Swap,
			Volume: "8e2f0a4e-7a1c-4d3e-9f00-0123456789ab"}}) // of a disk that is not there
	asked, brought := 0, ""
	needs := func(passphrase string) opening.Needs {
		return opening.Needs{
			Tools: func(_ context.Context, programs ...string) error {
				brought += strings.Join(programs, " ")
				return nil
			},
			Keys: func(_ context.Context, closed error, open func([][]byte) error) error {
				err := open(nil)
				if errors.Is(err, closed) {
					asked++
					err = open([][]byte{[]byte(passphrase)})
				}
				return err
			}}
	}
	isOpen := func(want bool) {
		t.Helper()
		if _, err := os.Stat(luks.Node(volume)); (err == nil) != want {
			t.Errorf("the volume is open: %v, want %v", err == nil, want)
		}
	}

	end, err := opening.Open(t.Context(), bare, needs("correct horse"))
	if err != nil || asked > 0 || brought != "" {
		t.Fatalf("a pool with nothing beside it: %v; asked %d times, brought %q", err, asked, brought)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	for what, n := range map[string]opening.Needs{"no keys": {}, "no passphrase": needs(""),
		"another passphrase": needs("another horse")} {
		if _, err := opening.Open(t.Context(), top, n); !errors.Is(err, mounts.ErrClosed) {
			t.Errorf("%s: Open = %v, want ErrClosed", what, err)
		}
		isOpen(false)
	}
	refused := errors.New("the server refuses")
	if _, err := opening.Open(t.Context(), top, opening.Needs{Keys: func(context.Context, error,
		func([][]byte) error) error {
		return refused
	}}); !errors.Is(err, refused) {
		t.Errorf("without an answer: Open = %v", err)
	}
	asked, brought = 0, ""
	if end, err = opening.Open(t.Context(), top, needs("correct horse")); err != nil {
		t.Fatal(err)
	}
	isOpen(true)
	if asked != 1 || brought != luks.Program {
		t.Errorf("Open asked %d times for a key and brought %q", asked, brought)
	}
	again, err := opening.Open(t.Context(), top, opening.Needs{})
	if err == nil {
		err = again()
	}
	if err != nil {
		t.Errorf("what is open already: %v", err)
	}
	isOpen(true)
	if err := end(); err != nil {
		t.Error(err)
	}
	isOpen(false)
}

// keep writes what the systems of a pool mount.
func keep(t *testing.T, top string, all []mounts.Mount) {
	t.Helper()
	dir := filepath.Join(top, "@persistent")
	if err := os.MkdirAll(filepath.Join(dir, machinekey.Folder), 0o755); err != nil {
		t.Fatal(err)
	}
	persistent, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer persistent.Close()
	if err := mounts.Write(persistent, all); err != nil {
		t.Fatal(err)
	}
}
