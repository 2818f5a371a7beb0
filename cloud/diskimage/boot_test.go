//go:build cloud

package diskimage_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/appliance/e2e"
	"griddle/cloud/diskimage"
	"griddle/cloud/diskimage/kernel"
)

// probe is a unit that tells how the system came up on the serial line, and takes the power.
const probe = `[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo "PROBE $(findmnt -no FSTYPE /) $(df --output=size -BM / | tail -1 | tr -d " M") $(test -d /sys/firmware/efi && echo uefi || echo bios) $(uname -r) $(systemctl is-failed griddle-grow.service) $(n=0; until findmnt -no FSTYPE /boot/efi; do n=$((n+1)); [ $n -lt 90 ] || { systemctl show -P ActiveState,Result boot-efi.mount; ls /dev/disk/by-uuid; break; }; sleep 1; done | tr "\n" ,)" >/dev/ttyS0; systemctl poweroff'
`

// TestBoots boots disks of the Debian template under SeaBIOS and OVMF, each on a disk larger than the image.
func TestBoots(t *testing.T) {
	full, bare, kernel := template(t)
	files := []diskimage.File{
		{Path: "/etc/systemd/system/probe.service", Mode: 0o644, Content: []byte(probe)},
		{Path: "/etc/systemd/system/graphical.target.wants/probe.service", Link: "../probe.service"},
	}
	for _, c := range []struct {
		name  string
		image diskimage.Image
		fs    diskimage.Filesystem
		f     diskimage.Format
		uefi  bool
	}{
		{"ext4 BIOS qcow2", full, diskimage.Ext4, diskimage.QCOW2, false},
		{"ext4 UEFI qcow2", full, diskimage.Ext4, diskimage.QCOW2, true},
		{"btrfs UEFI raw", full, diskimage.Btrfs, diskimage.Raw, true},
		{"btrfs BIOS raw", full, diskimage.Btrfs, diskimage.Raw, false},
		{"put-in kernel ext4 BIOS vmdk", bare, diskimage.Ext4, diskimage.VMDK, false},
		{"put-in kernel btrfs UEFI vhd", bare, diskimage.Btrfs, diskimage.VHD, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			cache := &diskimage.Cache{Dir: t.TempDir(), Kernel: kernel}
			d, err := cache.Make(t.Context(), c.image,
				diskimage.Options{Format: c.f, Filesystem: c.fs, Files: files, Args: []string{"net.ifnames=0"}})
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]string{true: "image",
				false: filepath.Base(kernel.Dir)}[c.image.Ref == full.Ref]; c.image.Ref == full.Ref &&
				d.Kernel != want {
				t.Errorf("its kernel is %s, want %s", d.Kernel, want)
			}
			const larger = 3 << 30
			line := boot(t, d, larger, c.uefi)
			f := strings.Fields(line)
			firmware := map[bool]string{true: "uefi", false: "bios"}[c.uefi]
			var size int64
			if len(f) == 7 {
				fmt.Sscan(f[2], &size)
			}
			if len(f) != 7 || f[1] != string(c.fs) || size < 2600 || f[3] != firmware ||
				f[5] == "failed" || f[6] != "vfat," {
				t.Errorf("the machine says %q, want %s of 2600 MiB or more, by %s, and vfat at /boot/efi",
					line, c.fs, firmware)
			}
			t.Log(line)
		})
	}
}

// template returns the Debian template as it is, and without its kernel, which comes apart.
func template(t *testing.T) (full, bare diskimage.Image, k *kernel.Kernel) {
	t.Helper()
	tarball, err := e2e.Template(t.Context(), cacheDir(t), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	base := t.TempDir()
	root, apart := filepath.Join(base, "root"), filepath.Join(base, "kernel")
	sh(t, `mkdir -p "$1" "$2/lib" "$2/boot"
tar --xattrs --xattrs-include='*' --numeric-owner -C "$1" -I zstd -xf "$0"
cp -a "$1" "$1.bare"
mv "$1.bare/usr/lib/modules" "$2/lib/modules"
mv "$1.bare"/boot/vmlinuz-* "$2/boot"
rm -f "$1.bare"/boot/* "$1.bare"/vmlinuz* "$1.bare"/initrd*`, tarball, root, apart)
	digest := func(c string) string { return "sha256:" + strings.Repeat(c, 64) }
	return diskimage.FromDirectory(root, "full:1@amd64", digest("1"), "amd64"),
		diskimage.FromDirectory(root+".bare", "bare:1@amd64", digest("2"), "amd64"), &kernel.Kernel{Dir: apart}
}

func cacheDir(t testing.TB) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "griddle")
}

func sh(t testing.TB, script string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", append([]string{"-euc", script}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("running %s: %v\n%s", script, err, out)
	}
}

// boot runs a machine on a copy of the disk that has size bytes until it takes its own power, and
// returns the line of probe.
func boot(t *testing.T, d diskimage.Disk, size int64, uefi bool) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
	defer cancel()
	dir := t.TempDir()
	layer := filepath.Join(dir, "layer.qcow2")
	format := map[diskimage.Format]string{diskimage.VHD: "vpc"}[d.Format]
	if format == "" {
		format = string(d.Format)
	}
	sh(t, `qemu-img create -q -f qcow2 -b "$0" -F "$1" "$2" "$3"`, d.Path, format, layer, fmt.Sprint(size))
	args := []string{
		"-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "max", "-smp", "2", "-m", "768", "-display", "none",
		"-nodefaults", "-no-reboot", "-serial", "stdio", "-drive", "file=" + layer + ",if=virtio",
	}
	if uefi {
		vars := filepath.Join(dir, "vars.fd")
		sh(t, `cp /usr/share/OVMF/OVMF_VARS_4M.fd "$0"`, vars)
		args = append(args, "-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
			"-drive", "if=pflash,format=raw,file="+vars)
	}
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", args...)
	var console bytes.Buffer
	cmd.Stdout, cmd.Stderr = &console, os.Stderr
	err := cmd.Run()
	for line := range strings.Lines(console.String()) {
		if _, after, ok := strings.Cut(line, "PROBE "); ok {
			return "PROBE " + strings.TrimSpace(after)
		}
	}
	t.Fatalf("the machine never said how it came up: %v (Debian packages qemu-system-x86 and ovmf, run make deps)\n%s",
		err, lastBytes(&console, 3000))
	return ""
}

func lastBytes(b *bytes.Buffer, n int) string {
	all, _ := io.ReadAll(b)
	return string(all[max(0, len(all)-n):])
}
