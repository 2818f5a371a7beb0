package divide

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/facts"
	"griddle/initramfs/hotplug"
)

// busDisks is how many disks the machine of TestBuses has, the one with the journal among them.
const busDisks = 8

// buses is the layout of that machine: a disk of each kind, by what people write for it.
func buses() layout.Document {
	data := func(id string, match job.Match, parts ...layout.Partition) layout.Disk {
		return layout.Disk{ID: id, Match: match, Partitions: parts}
	}
	some := func(id, filesystem string) layout.Partition {
		return layout.Partition{ID: id, Use: layout.Data, Size: size(130 * mib), Filesystem: filesystem}
	}
	return layout.Document{Version: 1, Disks: []layout.Disk{
		data("main", job.Match{Transport: "nvme"}, esp, pool),
		data("sata", job.Match{Transport: "sata"}, some("a", "ext4"),
			layout.Partition{ID: "scratch", Use: layout.Data, Match: &layout.Which{Number: 3}, Wipe: true}),
		data("scsi", job.Match{Transport: "scsi"}, some("b", "btrfs"),
			layout.Partition{ID: "swap", Use: layout.Swap, Size: size(50 * mib)}),
		data("virtio", job.Match{Serial: "V1"}, some("c", "ext4")),
		data("usb", job.Match{Serial: "USB1"}, layout.Partition{ID: "d", Use: layout.Data, Size: size(50 * mib),
			Filesystem: "vfat", Label: "STICK"}),
		data("mmc", job.Match{Path: "/dev/mmcblk0"}, some("e", "ext4")),
	}}
}

// processOne is process 1 of that machine: it makes the plan of its disks, or continues that of its journal.
func processOne() {
	if err := inMachine(); err != nil {
		fmt.Println("divide.test: failed:", err)
	}
	fmt.Println("divide.test: the end")
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func inMachine() error {
	begun := time.Now()
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/run"}} {
		if err := errors.Join(os.MkdirAll(m[1], 0o755), unix.Mount(m[0], m[1], m[0], 0, "")); err != nil &&
			!errors.Is(err, unix.EBUSY) {
			return err
		}
	}
	if err := os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin:/bbin"); err != nil {
		return err
	}
	devices, err := hotplug.New(slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	ctx := context.Background()
	go func() { _ = devices.Run(ctx) }()
	scanner := &disk.Scanner{Sys: os.DirFS("/sys"), Open: disk.Open, Ask: content.Blkid, Facts: facts.Of}
	find := func(ctx context.Context) ([]job.Disk, error) {
		found, err := scanner.Scan(ctx)
		for scanner.Settle(ctx) {
			found, err = scanner.Scan(ctx)
		}
		var out []job.Disk
		for _, d := range found {
			j := converted(d)
			j.Sampled = d.Sampled
			out = append(out, j)
		}
		return out, err
	}
	var disks []job.Disk
	for end := time.Now().Add(10 * time.Minute); len(disks) < busDisks && time.Now().Before(end); {
		devices.Settled(ctx, time.Second, time.Minute)
		if disks, err = find(ctx); err != nil {
			fmt.Println("divide.test: looking at the disks:", err)
		}
	}
	journal := diskJournal{begun: begun}
	for _, d := range disks {
		fmt.Printf("divide.test: there is %s, %s, sectors of %d\n", d, d.Bus, d.SectorSize)
		if d.Serial == "JOURNAL" {
			journal.path = d.Path
		}
	}
	past, err := journal.open()
	if err != nil {
		return err
	}
	o := Options{Job: jobID, Past: past, Journal: &journal, Find: find, Sys: "/sys"}
	if len(past) > 0 {
		o.Plan = *past[0].Plan
	} else if o.Plan, err = plan.Make(plan.Input{Layout: buses(), Disks: disks}); err != nil {
		return err
	}
	if journal.stop, err = strconv.Atoi(os.Getenv("griddle_stop")); err != nil {
		return err
	}
	scanner.Facts = nil // only the plan needs them, and an emulated processor takes half a minute for them
	made, err := Run(ctx, o)
	if err == nil {
		fmt.Printf("divide.test: the pool is in %s\n", made.Pool.Node)
	}
	return err
}

// diskJournal is a journal on a disk of its own: before each entry are its bytes, 4 of them.
type diskJournal struct {
	path    string
	f       *os.File
	at      int64
	entries int
	begun   time.Time
	stop    int // after this entry the power fails; 0: it does not
}

func (j *diskJournal) open() (past []Entry, err error) {
	if j.f, err = os.OpenFile(j.path, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	for {
		b := make([]byte, 4)
		if _, err := j.f.ReadAt(b, j.at); err != nil {
			return nil, err
		}
		n := int64(binary.LittleEndian.Uint32(b))
		if n == 0 {
			j.entries = len(past)
			return past, nil
		}
		b = make([]byte, n)
		if _, err := j.f.ReadAt(b, j.at+4); err != nil {
			return nil, err
		}
		var e Entry
		if err := json.NewDecoder(bytes.NewReader(b)).Decode(&e); err != nil {
			return nil, err
		}
		past, j.at = append(past, e), j.at+4+n
	}
}

func (j *diskJournal) Record(_ context.Context, e Entry) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := j.f.WriteAt(append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...), j.at); err != nil {
		return err
	}
	if err := j.f.Sync(); err != nil {
		return err
	}
	j.at += 4 + int64(len(b))
	fmt.Printf("divide.test: %3.0f s: step %d %s\n", time.Since(j.begun).Seconds(), e.Step, e.State)
	if j.entries++; j.entries == j.stop {
		fmt.Println("divide.test: the end, without power")
		return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF) // nothing is synced
	}
	return nil
}
