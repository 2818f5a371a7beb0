// Package e2e is a private LAN on one computer, with everything in it that an install needs: network namespaces,
// a DHCP server of another program, QEMU machines with their serial consoles, an LXC container to publish
// from, and griddle itself. The tests in roomtest and full run in it, and so does the demo.
//
// Start with Open, which returns a Room. Room.Container, Room.LANServer, Room.Serve and Room.Machine put things into
// it. Nothing in here waits for a time: everything waits for a line, a screen or an event, until its context ends.
//
//	namespace PREFIX-lan        bridge br0 --- taps of the machines
//	                                 |
//	namespace PREFIX-server     eth0 10.77.0.1/24: griddle serve
//	namespace PREFIX-dhcp       eth0 10.77.0.2/24: dnsmasq, in rooms that have another DHCP server
//
// A Room leaves only Room.Dir with every log, until Remove: Close ends its processes by their process IDs and removes
// its namespaces, mounts and loop devices. If the program dies without Close, the kernel ends its processes, and the
// next Open removes the rest.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// The addresses of the LAN.
const (
	ServerAddress = "10.77.0.1"
	dhcpAddress   = "10.77.0.2"
	prefixLength  = "/24"
	firstLease    = "10.77.0.100"
	lastLease     = "10.77.0.199"
)

// Options describe a Room. Binary is required.
type Options struct {
	Binary  string    // the griddle program
	BootDir string    // what `make boot` wrote
	Cache   string    // where the template's tarball is kept between runs; "" means CacheDir
	Log     io.Writer // gets one line for each step; nil means no log
}

// Room is a private LAN with everything in it. Its methods may be called from several goroutines.
type Room struct {
	Dir string // everything of this room: logs, disks, the store, the containers

	opt    Options
	prefix string // of the names of namespaces and links

	mu      sync.Mutex
	undo    []func() error // run last first by Close
	machine int            // how many there were
}

// Open makes an empty room with its LAN. It needs root.
func Open(ctx context.Context, o Options) (*Room, error) {
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Cache == "" {
		o.Cache = CacheDir()
	}
	for _, p := range []*string{&o.Binary, &o.BootDir} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return nil, fmt.Errorf("opening a room: %w", err)
		}
		*p = abs
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("opening a room: network namespaces, loop devices and mounts need root")
	}
	sweep()
	prefix := newPrefix()
	dir, err := os.MkdirTemp("", prefix+"-")
	if err != nil {
		return nil, fmt.Errorf("opening a room: %w", err)
	}
	r := &Room{Dir: dir, opt: o, prefix: prefix}
	if err := r.makeLAN(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening a room: %w", err), r.Close())
	}
	return r, nil
}

// Close takes everything away but Dir, last made first. It may be called more than once.
func (r *Room) Close() error {
	r.mu.Lock()
	undo := r.undo
	r.undo = nil
	r.mu.Unlock()
	var errs []error
	for _, f := range slices.Backward(undo) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// Remove deletes Dir. Call it after Close, when no one needs the logs.
func (r *Room) Remove() error { return os.RemoveAll(r.Dir) }

// onClose has f run by Close.
func (r *Room) onClose(f func() error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.undo = append(r.undo, f)
}

// path is a name in the room's directory.
func (r *Room) path(elem ...string) string { return filepath.Join(append([]string{r.Dir}, elem...)...) }

func (r *Room) logf(format string, args ...any) { fmt.Fprintf(r.opt.Log, format+"\n", args...) }

// CacheDir is where things are kept that take long to make: $XDG_CACHE_HOME/griddle, or ~/.cache/griddle.
func CacheDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = "/var/cache"
	}
	return filepath.Join(dir, "griddle")
}
