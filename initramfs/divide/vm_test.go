//go:build torture

package divide

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"griddle/appliance/e2e/machinetest"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/disk/table"
	"griddle/initramfs/divide/dividetest"
)

// bus is a disk of the virtual machine.
type bus struct {
	serial string // as the agent reports it
	sector int
	device string // of QEMU
}

// TestBuses carries out a plan on disks of each kind that machines have, by the kernel of the boot image: NVMe and SCSI
// with sectors of 4096 bytes, SATA, virtio, USB and a memory card. Each has what Windows makes. The power fails within
// the plan, and then the disks are plugged in in another order and have other names. All that stays is compared byte
// for byte; a disk of which the layout says nothing has no other byte.
func TestBuses(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Minute)
	defer cancel()
	const large = ",logical_block_size=4096,physical_block_size=4096"
	all := []bus{{"N1", 4096, "nvme,serial=N1,id=n -device nvme-ns,bus=n" + large},
		{"SATA1", 512, "ide-hd,bus=ide.%d,serial=SATA1"}, {"SCSI1", 4096, "scsi-hd,bus=hba.0,serial=SCSI1" + large},
		{"V1", 512, "virtio-blk-pci,serial=V1"}, {"V2", 512, "virtio-blk-pci,serial=V2"},
		{"USB1", 512, "usb-storage,bus=usb.0,serial=USB1"}, {"0xdeadbeef", 512, "sd-card,bus=sd-bus"}}
	asked := dividetest.Asked{Parts: map[string]map[int]plan.Fate{"SATA1": {3: plan.Emptied}}}
	var disks []*dividetest.Disk
	for _, b := range all {
		d := &dividetest.Disk{Serial: b.serial, File: filepath.Join(t.TempDir(), b.serial), Size: 1024 * mib,
			Sector: b.sector, Table: "gpt"}
		makeWindows(t, d.File, b.sector, 64*mib, d.Size)
		at := int64(mib)
		for i, kind := range []dividetest.Kind{dividetest.ESP, dividetest.Reserved, dividetest.NTFS,
			dividetest.Recovery} {
			n := []int64{100 * mib, 16 * mib, 64 * mib, 32 * mib}[i]
			d.Parts = append(d.Parts, dividetest.Part{Number: i + 1, Start: at, Size: n, Kind: kind})
			at += n
		}
		d.Attach(t)
		disks = append(disks, d)
	}
	watch := dividetest.Watch(t, disks, asked, plan.Plan{})
	for _, d := range disks {
		d.Detach(t)
	}
	journal := disktest.File(t, 64*mib)
	for n, stop := range []int{8 + rand.IntN(20), 0} {
		t.Logf("the power fails after entry %d of the journal, 0 is never", stop)
		console := boot(ctx, t, all, disks, journal, n == 1, stop)
		for _, line := range regexp.MustCompile(`(?m)^divide\.test: .*`).FindAllString(console, -1) {
			t.Log(line)
			if regexp.MustCompile(`failed`).MatchString(line) {
				t.Fatal("the plan was not carried out")
			}
		}
	}
	past, err := (&diskJournal{path: journal}).open()
	if err != nil || len(past) == 0 {
		t.Fatalf("the journal has %d entries, %v", len(past), err)
	}
	watch.Plan = *past[0].Plan
	t.Log(watch.Plan.Text(100))
	for _, d := range disks {
		d.Attach(t)
	}
	for _, planned := range watch.Plan.Disks {
		i := slices.IndexFunc(disks, func(d *dividetest.Disk) bool { return d.Serial == planned.Serial })
		announced(t, disks[i].Dev, planned.After)
	}
	watch.Done(t)
}

// announced tells the kernel of the host, which may have no parser for a GPT, which partitions a disk has.
func announced(t *testing.T, dev string, planned []plan.Part) {
	t.Helper()
	var parts []table.Part
	for _, p := range planned {
		parts = append(parts, table.Part{Number: p.Number, Start: p.Start, Size: p.Size})
	}
	f, err := os.Open(dev)
	if err == nil {
		err = errors.Join(table.Announce(f, "/sys", parts), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// boot starts the machine until it is off, and returns what its console said.
func boot(ctx context.Context, t *testing.T, all []bus, disks []*dividetest.Disk, journal string, other bool,
	stop int) string {
	t.Helper()
	dir, err := filepath.Abs("../../build/boot")
	if err != nil {
		t.Fatal(err)
	}
	initrd := filepath.Join(t.TempDir(), "initrd")
	if err := machinetest.BootImage(initrd, dir); err != nil {
		t.Fatal(err)
	}
	args := []string{"-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "1024", "-nodefaults", "-display",
		"none", "-no-reboot", "-serial", "stdio",
		"-append", fmt.Sprint("console=ttyS0 panic=1 quiet no_timer_check griddle_stop=", stop),
		"-kernel", filepath.Join(dir, "vmlinuz"), "-initrd", initrd,
		"-device", "virtio-scsi-pci,id=hba", "-device", "qemu-xhci,id=usb", "-device", "sdhci-pci",
		"-drive", "if=none,format=raw,id=journal,file=" + journal,
		"-device", "virtio-blk-pci,serial=JOURNAL,drive=journal"}
	order := make([]int, len(all))
	for i := range order {
		if order[i] = i; other {
			order[i] = len(all) - 1 - i
		}
	}
	for port, i := range order {
		device := all[i].device
		if all[i].serial == "SATA1" {
			device = fmt.Sprintf(device, port%6)
		}
		id := fmt.Sprint("disk", i)
		args = append(args, "-drive", "if=none,format=raw,discard=unmap,id="+id+",file="+disks[i].File)
		parts := regexp.MustCompile(` -device `).Split(device, -1)
		for n, p := range parts {
			if n == len(parts)-1 {
				p += ",drive=" + id
			}
			args = append(args, "-device", p)
		}
	}
	console := machinetest.NewTranscript("the machine")
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", args...)
	cmd.Stdout, cmd.Stderr = console, console
	done, err := machinetest.Hold(cmd, func(err error) {
		console.End(errors.Join(errors.New("the machine is off"), err))
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = console.WaitWhole(ctx, "divide.test: the end"); err != nil {
		cmd.Process.Kill()
	}
	<-done
	if err != nil {
		t.Fatalf("%v\n%s", err, console.Tail(60))
	}
	return console.Text()
}
