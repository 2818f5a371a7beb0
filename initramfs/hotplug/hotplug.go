// Package hotplug loads the drivers of the devices that a machine has, and of those that appear later.
//
// Call New and run Run in a goroutine. Settled waits until no more devices appear; Changed says when one does. Which
// module a device needs is decided by package kmod.
//
// All methods may be called by several goroutines at once. Sources: the kernel's announcements
// (lib/kobject_uevent.c) and the modalias files of sysfs.
package hotplug

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"griddle/initramfs/kmod"

	"golang.org/x/sys/unix"
)

// Devices are those of this machine.
type Devices struct {
	log     *slog.Logger
	loader  *kmod.Loader
	changed chan struct{} // holds one value after something appeared

	mu   sync.Mutex
	last time.Time // when something happened last
	busy bool
}

// New reads which modules there are; Run loads them.
func New(log *slog.Logger) (*Devices, error) {
	l, err := kmod.New()
	if err != nil {
		return nil, err
	}
	return &Devices{log: log, loader: l, changed: make(chan struct{}, 1), last: time.Now()}, nil
}

// Changed gets a value after something appeared or went. It holds one value, for one reader.
func (d *Devices) Changed() <-chan struct{} { return d.changed }

func (d *Devices) mark(busy bool) {
	d.mu.Lock()
	d.last, d.busy = time.Now(), busy
	d.mu.Unlock()
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// Settled waits until nothing has appeared for quiet, ctx ends or limit is over. Buses are scanned behind the
// kernel's back, so that there is no moment at which all disks are known; later ones still arrive as changes.
func (d *Devices) Settled(ctx context.Context, quiet, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if d.Quiet(quiet) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Run loads drivers until ctx ends: first for everything that sysfs has, again until nothing new comes of it (a
// controller's driver makes devices of its own), then for each device that the kernel announces.
func (d *Devices) Run(ctx context.Context) error {
	// The socket is opened before the first walk, so that nothing falls between the two.
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK,
		unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return fmt.Errorf("listening for devices: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		unix.Close(fd)
		return fmt.Errorf("listening for devices: %w", err)
	}
	socket := os.NewFile(uintptr(fd), "uevent")
	defer socket.Close()
	stop := context.AfterFunc(ctx, func() { socket.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()

	d.coldplug(ctx)
	buf := make([]byte, 64<<10)
	for {
		n, err := socket.Read(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			// ENOBUFS: announcements were lost, so look at everything again.
			d.coldplug(ctx)
			continue
		}
		action, modalias := parseUevent(buf[:n])
		if action != "add" && action != "change" && action != "remove" {
			continue
		}
		d.mark(true)
		if action == "add" && modalias != "" {
			d.load(modalias)
		}
		d.mark(false)
	}
}

func (d *Devices) coldplug(ctx context.Context) {
	d.mark(true)
	defer d.mark(false)
	for ctx.Err() == nil {
		n := 0
		for _, alias := range networkFirst(modaliases(os.DirFS("/sys"))) {
			n += d.load(alias)
			d.mark(true)
		}
		if n == 0 {
			return
		}
	}
}

func (d *Devices) load(alias string) int {
	loaded, err := d.loader.LoadAlias(alias)
	if err != nil {
		d.log.Info("driver not loaded", "alias", alias, "error", err) // often harmless: the processor lacks a feature
	}
	if len(loaded) > 0 {
		d.log.Info("driver loaded", "modules", strings.Join(loaded, " "))
	}
	return len(loaded)
}

// modaliases lists what the devices below /sys call themselves, each once, in the order of the walk.
func modaliases(sys fs.FS) []string {
	var out []string
	seen := map[string]bool{}
	_ = fs.WalkDir(sys, "devices", func(p string, e fs.DirEntry, err error) error {
		if err != nil || path.Base(p) != "modalias" {
			return nil // a device that went away while we were looking
		}
		b, err := fs.ReadFile(sys, p)
		alias := string(bytes.TrimSpace(b))
		if err == nil && alias != "" && !seen[alias] {
			seen[alias] = true
			out = append(out, alias)
		}
		return nil
	})
	return out
}

// networkFirst moves network controllers, and virtio's bus that hides them, to the front: a lease takes seconds,
// in which the disks' drivers can load.
func networkFirst(aliases []string) []string {
	var first, rest []string
	for _, a := range aliases {
		if strings.HasPrefix(a, "pci:") && (strings.Contains(a, "bc02sc") || strings.Contains(a, "v00001AF4")) ||
			strings.HasPrefix(a, "virtio:d00000001") {
			first = append(first, a)
		} else {
			rest = append(rest, a)
		}
	}
	return append(first, rest...)
}

// parseUevent reads the kernel's announcement: "ACTION@DEVPATH" and then "KEY=VALUE", all ended by zero bytes
// (lib/kobject_uevent.c).
func parseUevent(b []byte) (action, modalias string) {
	for _, field := range bytes.Split(b, []byte{0}) {
		if v, ok := bytes.CutPrefix(field, []byte("ACTION=")); ok {
			action = string(v)
		}
		if v, ok := bytes.CutPrefix(field, []byte("MODALIAS=")); ok {
			modalias = string(v)
		}
	}
	return action, modalias
}

// Quiet says whether no device has appeared for t.
func (d *Devices) Quiet(t time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.busy && time.Since(d.last) > t
}
