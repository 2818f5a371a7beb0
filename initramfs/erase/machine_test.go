//go:build e2e

package erase

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"griddle/appliance/job"
	"griddle/initramfs/disk"
	"griddle/initramfs/kmod"
)

// TestMain is also what process 1 of the machine of TestMachine does.
func TestMain(m *testing.M) {
	if os.Getpid() == 1 {
		if err := inMachine(); err != nil {
			fmt.Println("erase.test: failed:", err)
		}
		fmt.Println("erase.test: the end")
		unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
	os.Exit(m.Run())
}

// inMachine erases disks of the machine, and says on its console what came of each.
func inMachine() error {
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		if err := errors.Join(os.MkdirAll(m[1], 0o755), unix.Mount(m[0], m[1], m[0], 0, "")); err != nil &&
			!errors.Is(err, unix.EBUSY) {
			return err
		}
	}
	for _, name := range []string{"nvme", "ahci", "sd_mod", "virtio_pci", "virtio_blk"} {
		if err := kmod.Modprobe([]string{name}); err != nil {
			return fmt.Errorf("loading %s: %w", name, err)
		}
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if _, err := os.Stat("/dev/sda"); err == nil {
			if _, err := os.Stat("/dev/nvme1n2"); err == nil {
				break
			}
		}
	}
	disks, err := machineDisks()
	if err != nil {
		return err
	}
	for _, d := range disks {
		fmt.Printf("erase.test: there is %s, %s, %s\n", d, d.Bus, d.WWN)
	}
	for _, path := range []string{"/dev/nvme0n1", "/dev/nvme1n1", "/dev/sda", "/dev/vda"} {
		for _, d := range disks {
			if d.Path != path {
				continue
			}
			_, name := d.NameAmong(disks)
			for _, level := range []job.EraseLevel{job.Purge, ""} {
				r := &reporter{}
				c, err := Run(context.Background(), Options{Spec: job.Spec{ID: jobID, Kind: job.Erase, Erase: name,
					Level: level}, Disks: disks, Report: r, Agent: "test", Open: Open,
					Serial: func(path string) (string, error) {
						d, err := disk.Find(os.DirFS("/sys"), disk.Open, path)
						return d.Serial, err
					}})
				fmt.Printf("erase.test: %s level %q: %s by %q, %q, verified %+v, notes %q, error: %v\n", path, level,
					c.Result,
					c.Method, c.Level, c.Verified, c.Notes, err)
			}
		}
	}
	return nil
}

// machineDisks lists the disks as the agent does.
func machineDisks() ([]job.Disk, error) {
	found, err := (&disk.Scanner{Sys: os.DirFS("/sys"), Open: disk.Open}).Scan(context.Background())
	var out []job.Disk
	for _, d := range found {
		out = append(out, job.Disk{Path: d.Path, Model: d.Model, Serial: d.Serial, WWN: d.WWN, Place: d.Place,
			Bus:  d.Bus,
			Size: d.Size, SectorSize: d.SectorSize})
	}
	return out, err
}
