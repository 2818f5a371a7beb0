//go:build e2e

package full

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/e2etest"
	"griddle/appliance/e2e/machinetest"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/table"
	"griddle/initramfs/kernel"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/setting/treetest"
	"griddle/initramfs/subvolume"
)

// probeUnit says on the serial line what started.
const probeUnit = `[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo "PROBE $(findmnt -no FSROOT /) $(uname -r) $(test -d /sys/firmware/efi && echo uefi || echo bios) $(ls -d /lib/modules/$(uname -r)/kernel) failed: $(systemctl --failed --plain --no-legend | cut -d" " -f1 | tr "\n" " ")" >/dev/ttyS0'
`

// TestKernelImage starts systems of Debian that have no kernel, with those of a kernel image, from a pool, on both
// firmwares.
func TestKernelImage(t *testing.T) {
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			e2etest.Passes(t)
			img, release := kernelPool(t, suite)
			for _, firmware := range []e2e.Firmware{e2e.BIOS, e2e.UEFI} {
				t.Run(string(firmware), func(t *testing.T) {
					want := "PROBE /@roots/bare@amd64 " + release + " " + string(firmware) + " /lib/modules/" + release
					if got := startKernel(t, img, firmware); !strings.HasPrefix(got, want) {
						t.Errorf("the machine says %q, want %q", got, want)
					} else {
						t.Log(got)
					}
				})
			}
		})
	}
}

// kernelPool publishes the kernel of a suite, and makes a disk whose only root is a Debian of that suite with that
// kernel. release is the kernel's.
func kernelPool(t *testing.T, suite string) (img, release string) {
	t.Helper()
	const poolID, jobID, size = "3e6be9de-8139-11d1-9106-a43f08d823a6", pooltest.Job, 4 << 30
	dir := t.TempDir()
	img = filepath.Join(dir, "disk")
	f, err := os.Create(img)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	images := os.DirFS(filepath.Join(e2etest.Top(t), "build/boot/grub"))
	l, err := table.WholeDisk(jobID, size, 512)
	if err == nil {
		err = errors.Join(f.Truncate(size), l.Write(f, content.Content{}),
			bootloader.InstallBIOS(f, images, bootloader.Extent{Start: l.BIOS.Start, Size: l.BIOS.Size}, 512),
			table.Activate(f))
	}
	if err != nil {
		t.Fatal(err)
	}

	pool := part(t, img, l.Pool)
	pooltest.Tool(t, "mkfs.btrfs", "--quiet", "--force", "--uuid", poolID, pool)
	m, err := subvolume.Top(pool)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	top := m.Dir()
	for _, name := range []string{"@roots", "@images"} {
		if err := os.Mkdir(filepath.Join(top, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(top, "@roots/bare@amd64")
	if err := subvolume.Create(filepath.Dir(root), filepath.Base(root)); err != nil {
		t.Fatal(err)
	}
	pooltest.Tool(t, "cp", "-a", treetest.Debian(t, suite).Dir+"/.", root)
	pooltest.Put(t, root, map[string]string{"etc/machine-id": strings.Repeat("ab", 16) + "\n", "etc/hostname": "bare\n",
		"etc/systemd/system/probe.service": probeUnit})
	if err := os.Symlink("../probe.service",
		filepath.Join(root, "etc/systemd/system/multi-user.target.wants/probe.service")); err != nil {
		t.Fatal(err)
	}
	release = addKernel(t, suite, dir, filepath.Join(top, "@images"), root)
	if err := subvolume.Sync(top); err != nil {
		t.Fatal(err)
	}

	files := filepath.Join(dir, "esp")
	if err := errors.Join(os.Mkdir(files, 0o755), bootloader.InstallESP(files, images, bootloader.Config{
		ESP: "GR-1B4E28BA", PoolID: poolID, Root: "@roots/bare@amd64"})); err != nil {
		t.Fatal(err)
	}
	esp := part(t, img, l.ESP)
	if err := disk.MakeFAT(t.Context(), esp, "GR-1B4E28BA", "1b4e28ba", 512); err != nil {
		t.Fatal(err)
	}
	pooltest.Tool(t, "mcopy", "-s", "-i", esp, filepath.Join(files, "EFI"), filepath.Join(files, "griddle"), "::/")
	return img, release
}

// addKernel publishes the kernel of a suite, receives it into images and adds it to root.
func addKernel(t *testing.T, suite, dir, images, root string) (release string) {
	t.Helper()
	top, store := e2etest.Top(t), filepath.Join(dir, "store")
	for _, args := range [][]string{
		{"publish", "kernel", "--suite", suite, "--boot-dir", filepath.Join(top, "build/boot")},
		{"image", "receive", "griddle/kernel", images},
	} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(top, "bin/griddle"), append(args, "--store", store)...)
		cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+filepath.Join(dir, "config"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("griddle %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		t.Logf("%s", out)
	}
	received, err := filepath.Glob(filepath.Join(images, "griddle+kernel@*"))
	if err != nil || len(received) != 1 {
		t.Fatalf("received %v, %v", received, err)
	}
	from, err := os.OpenRoot(received[0])
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if release, err = kernel.Add(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	return release
}

// part is a loop device of one partition of a disk.
func part(t *testing.T, img string, p table.Part) string {
	t.Helper()
	dev := pooltest.Tool(t, "losetup", "--find", "--show", "--offset", fmt.Sprint(p.Start), "--sizelimit",
		fmt.Sprint(p.Size), img)
	t.Cleanup(func() { pooltest.Tool(t, "losetup", "-d", dev) })
	return dev
}

// startKernel starts a machine with the disk, whose changes are lost, until it shows a login prompt and says what
// started.
func startKernel(t *testing.T, img string, firmware e2e.Firmware) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	args := []string{"-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "max", "-smp", "2", "-m", "1024",
		"-display", "none", "-nodefaults", "-serial", "stdio", "-vga", "std",
		"-drive", "if=none,id=disk,format=raw,snapshot=on,file=" + img, "-device", "virtio-blk-pci,drive=disk"}
	if firmware == e2e.UEFI {
		args = append(args, "-bios", "/usr/share/ovmf/OVMF.fd")
	}
	console, prompts := machinetest.NewTranscript(string(firmware)), machinetest.NewTranscript(string(firmware))
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", args...)
	cmd.Stdout = io.MultiWriter(console, prompts)
	cmd.Stderr = cmd.Stdout
	done, err := machinetest.Hold(cmd, func(err error) { console.End(err); prompts.End(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); <-done }()
	begun := time.Now()
	var last machinetest.Line
	for _, line := range []string{`griddle: the root is on /dev/vda3, subvol=@roots/bare@amd64`, `PROBE .*failed:`} {
		if last, err = console.WaitWhole(ctx, line); err != nil {
			t.Fatal(err)
		}
		t.Logf("%5.1f s: %s", time.Since(begun).Seconds(), last.Text)
	}
	if _, err := prompts.Wait(ctx, `^bare login:`); err != nil {
		t.Error(err)
	}
	return last.Text[strings.Index(last.Text, "PROBE "):]
}
