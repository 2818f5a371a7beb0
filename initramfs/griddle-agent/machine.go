package main

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/hardware"
	"griddle/initramfs/install"
	"griddle/initramfs/uplink"
	"griddle/tui"

	"github.com/u-root/u-root/pkg/smbios"
	"golang.org/x/sys/unix"
)

// identity is what the firmware says of the machine, and its MAC addresses in the order of list: the leased one first.
// Firmware text is hostile and made printable here.
func identity(log *slog.Logger, list []uplink.NIC) job.Identity {
	id := job.Identity{MACs: []string{}}
	for _, n := range list {
		id.MACs = append(id.MACs, n.MAC)
	}
	info, err := smbios.FromSysfs()
	if err != nil {
		log.Info("no SMBIOS", "error", err)
		return id
	}
	s, err := info.GetSystemInfo()
	if err != nil {
		log.Info("no SMBIOS system information", "error", err)
		return id
	}
	id.UUID = job.NormalUUID(s.UUID.String())
	id.Serial, id.Vendor, id.Product = firmwareText(s.SerialNumber), firmwareText(s.Manufacturer),
		firmwareText(s.ProductName)
	return id
}

// firmwareText drops what vendors leave in fields that they never filled in.
func firmwareText(s string) string {
	s = job.Printable(s)
	switch strings.ToLower(s) {
	case "not specified", "to be filled by o.e.m.", "default string", "system serial number", "system manufacturer",
		"system product name", "none", "n/a", "0", "0123456789", "unknown":
		return ""
	}
	return s
}

// inventory is what the machine has. A disk that could not be read is in it, as read-only. Hard disks that may be blank
// take some seconds to read, and at most 25.
func (s *station) inventory(ctx context.Context, list []uplink.NIC, l *uplink.Lease) job.Inventory {
	inv := job.Inventory{CPUs: runtime.NumCPU(), Firmware: "bios", Disks: []job.Disk{}}
	if _, err := os.Stat("/sys/firmware/efi"); err == nil {
		inv.Firmware = "uefi"
	}
	proc := os.DirFS("/proc")
	inv.CPU = job.Printable(procValue(proc, "cpuinfo", "model name"))
	inv.Memory = memory(proc)
	for _, n := range list {
		j := job.NIC{Name: n.Name, MAC: n.MAC, Driver: n.Driver, Carrier: n.Carrier}
		if n.Carrier {
			j.Neighbour = s.lldp.Neighbour(n.MAC)
		}
		if l != nil && n.MAC == l.NIC.MAC {
			j.Address = l.Prefix.String()
		}
		inv.NICs = append(inv.NICs, j)
	}
	found, err := s.disks.Scan(ctx)
	if err != nil {
		s.log.Warn("reading disks", "error", err)
	}
	inv.Disks = append(inv.Disks, install.Disks(found)...)
	if drive, ok := hardware.FirstDrive(os.DirFS("/sys")); ok {
		inv.FirstDrive = firstDrive(drive, inv.Disks)
	}
	return inv
}

// How long an install is followed by a look at the disks: until the server has them, and until all is known of their
// filesystems, which may take minutes.
const (
	tellTime   = 2 * time.Minute
	settleTime = 30 * time.Second
)

// tellDisks reports the disks as an install has left them, so that the server can plan the next one: until it knows
// them, it takes no order that loses what is on them. It says hello again, which servers of all versions take, after
// the server has heard that the install is done: what it heard of disks before that counts no more. The answer is for
// the next boot. If the server does not get it, the next boot from the network reports the disks.
func (s *station) tellDisks(ctx context.Context, l *uplink.Lease, found tui.Found) {
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	list, err := uplink.NICs(l.NIC.MAC)
	if err == nil {
		found.Inventory = s.inventory(ctx, list, l)
		settle, stop := context.WithTimeout(ctx, settleTime)
		if s.disks.Settle(settle) {
			found.Inventory = s.inventory(ctx, list, l)
		}
		stop()
		if err = ctx.Err(); err == nil { // else disks that did not answer in time are in it as others
			_, err = s.api.hello(ctx, s.introduction(found))
		}
	}
	if err != nil {
		s.log.Warn("the disks after the install were not reported", "error", err)
	}
	s.rest(context.WithoutCancel(ctx)) // the machine restarts soon
}

// memory is what the kernel has of it, in bytes; 0 where it does not say.
func memory(proc fs.FS) int64 {
	kb, err := strconv.ParseInt(strings.TrimSuffix(procValue(proc, "meminfo", "MemTotal"), " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return kb * 1024
}

// procValue returns the first value of key in a file of lines "key : value".
func procValue(proc fs.FS, file, key string) string {
	f, err := proc.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// fewDisks describes disks for the list of steps.
func fewDisks(disks []job.Disk) string {
	if len(disks) == 0 {
		return "no disk"
	}
	var names []string
	for _, d := range disks {
		names = append(names, fmt.Sprintf("%s %s", d.Path, job.Bytes(d.Size)))
	}
	return strings.Join(names, ", ")
}

// setClock sets the system's clock to t, never further back than built: an older time is a lie or a dead battery,
// and would make certificates valid again that have expired.
func setClock(t, built time.Time) error {
	if t.Before(built) {
		t = built
	}
	if d := time.Until(t); d.Abs() < time.Second {
		return nil
	}
	ts := unix.NsecToTimespec(t.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("setting the clock: %w", err)
	}
	return nil
}

func cmdline() string {
	b, _ := os.ReadFile("/proc/cmdline")
	return string(b)
}
