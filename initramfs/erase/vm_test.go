//go:build e2e

package erase

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"griddle/appliance/e2e/machinetest"
)

// TestMachine erases disks of a virtual machine, by the kernel of the boot image: an NVMe drive by its own Format, one
// namespace of a drive that has two, a SATA disk, which QEMU has without any such command, and a virtio disk. The other
// namespace stays, bit for bit.
func TestMachine(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	const size = 24 << 20
	dir := t.TempDir()
	disks := map[string][]byte{}
	args := []string{"-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "1024", "-nodefaults", "-display", "none",
		"-no-reboot", "-serial", "stdio", "-append", "console=ttyS0 panic=1 quiet no_timer_check"}
	for _, name := range []string{"alone", "first", "second", "sata", "virtio"} {
		disks[name] = filled(size).disk
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, disks[name], 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-drive", "if=none,format=raw,discard=unmap,id="+name+",file="+file)
	}
	boot, err := filepath.Abs("../../build/boot")
	if err != nil {
		t.Fatal(err)
	}
	initrd := filepath.Join(t.TempDir(), "initrd")
	if err := machinetest.BootImage(initrd, boot); err != nil {
		t.Fatal(err)
	}
	args = append(args, "-device", "nvme,serial=NVME-ALONE,drive=alone",
		"-device", "nvme,serial=NVME-TWO,id=two", "-device", "nvme-ns,bus=two,nsid=1,drive=first",
		"-device", "nvme-ns,bus=two,nsid=2,drive=second",
		"-device", "ide-hd,bus=ide.0,serial=SATA-1,drive=sata", "-device",
		"virtio-blk-pci,serial=VIRTIO-1,drive=virtio",
		"-kernel", filepath.Join(boot, "vmlinuz"), "-initrd", initrd)
	console := machinetest.NewTranscript("the machine")
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", args...)
	cmd.Stdout, cmd.Stderr = console, console
	done, err := machinetest.Hold(cmd, func(err error) {
		console.End(errors.Join(errors.New("the machine is off"), err))
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = console.WaitWhole(ctx, "erase.test: the end")
	if err != nil {
		cmd.Process.Kill()
	}
	<-done
	if err != nil {
		t.Fatalf("%v\n%s", err, console.Tail(30))
	}
	text := console.Text()
	for _, line := range regexp.MustCompile(`(?m)^erase\.test: .*`).FindAllString(text, -1) {
		t.Log(line)
	}
	for _, want := range []string{
		`/dev/nvme0n1 level "purge": erased by "nvme-format-user", "purge", .*error: <nil>`,
		`/dev/nvme1n1 level "purge": erased by "nvme-format-user", "purge", .*error: <nil>`,
		`/dev/sda level "purge":  by "", .*has no command that purges it`,
		`/dev/sda level "": erased by "overwrite", "clear", .*error: <nil>`,
		`/dev/vda level "": erased by "overwrite", "clear", .*discarded.*error: <nil>`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("no line %s", want)
		}
	}
	for name, was := range disks {
		now, err := os.ReadFile(filepath.Join(dir, name))
		want := make([]byte, size)
		if name == "second" {
			want = was
		}
		if err != nil || !bytes.Equal(now, want) {
			t.Errorf("the disk %s is not as it should be, %v", name, err)
		}
	}
}
