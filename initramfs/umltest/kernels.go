package umltest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"griddle/appliance/e2e/machinetest"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/subvolume"

	"github.com/google/uuid"
)

// KernelsBeside gives the disk a partition for kernels, /dev/ubda4, of so many bytes behind the pool, as an encrypted
// pool has. This pool is not encrypted: its systems see no difference.
func (m *Machine) KernelsBeside(t testing.TB, size int64, good string) {
	t.Helper()
	st, err := os.Stat(m.image)
	if err == nil {
		err = os.Truncate(m.image, st.Size()+size+1<<20)
	}
	if err != nil {
		t.Fatal(err)
	}
	m.kernel = bootloader.Extent{Start: st.Size(), Size: size}
	boot := &bootloader.Boot{ID: uuid.NewString(), Volume: uuid.NewString()}
	tool := func(name string, args ...string) {
		if _, err := machinetest.Run(t.Context(), name, args...); err != nil {
			t.Fatal(err)
		}
	}
	tool("sgdisk", "-e", "-n", fmt.Sprintf("4:%d:%d", m.kernel.Start/sectorSize,
		(m.kernel.Start+size)/sectorSize-1), m.image)
	tool("mkfs.ext4", "-q", "-F", "-U", boot.ID, "-E", fmt.Sprint("offset=", m.kernel.Start), m.image,
		fmt.Sprintf("%dk", size>>10))
	if err := m.configure(t, good, boot); err != nil {
		t.Fatal(err)
	}
}

// Kernels calls do with the path of the partition for kernels. No system runs meanwhile.
func (m *Machine) Kernels(t testing.TB, do func(top string)) {
	t.Helper()
	dev, err := machinetest.Run(t.Context(), "losetup", "--find", "--show", "--offset", fmt.Sprint(m.kernel.Start),
		"--sizelimit", fmt.Sprint(m.kernel.Size), m.image)
	if err != nil {
		t.Fatal(err)
	}
	dev = strings.TrimSpace(dev)
	top, err := subvolume.Other("ext4", dev)
	if err == nil {
		do(top.Dir())
		err = top.Close()
	}
	_, failed := machinetest.Run(t.Context(), "losetup", "-d", dev)
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
}
