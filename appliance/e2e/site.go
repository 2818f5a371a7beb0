package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"griddle/appliance/api"
	"griddle/appliance/e2e/machinetest"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/imagestore"
	"griddle/imagestore/multicast"
)

// Mode is what griddle does for DHCP on the LAN.
type Mode string

// The modes, as the configuration calls them.
const (
	Proxy Mode = "proxy" // next to Room.LANServer
	DHCP  Mode = "dhcp"  // alone
)

// Site is griddle in its namespace: what it serves, and the command line of its operator. It may be stopped and
// started again; its state stays in the room.
type Site struct {
	Log *machinetest.Transcript // what serve says, since it was started last

	room    *Room
	mode    Mode
	process *process
}

// Site prepares a site with an empty store. Publish into it before or after Start.
func (r *Room) Site(mode Mode) *Site { return &Site{room: r, mode: mode} }

func (s *Site) state() string { return s.room.path("state") }

// Start starts `griddle serve` and waits until it serves. More are flags for it.
func (s *Site) Start(ctx context.Context, more ...string) error {
	args := []string{"serve", "--config", "/dev/null", "--interface", "eth0", "--mode", string(s.mode),
		"--state-dir", s.state(),
		"--boot-dir", s.room.opt.BootDir, "--log-level", "debug"}
	if s.mode == DHCP {
		args = append(args, "--pool", firstLease+"-"+lastLease)
	}
	p, err := s.room.start("serve", "server", s.room.opt.Binary, append(args, more...)...)
	if err != nil {
		return err
	}
	s.process, s.Log = p, p.Output
	if _, err := s.Log.Wait(ctx, `^griddle serves on `); err != nil {
		return err
	}
	s.room.logf("griddle serves the LAN (%s)", s.mode)
	return nil
}

// Kill ends the server as a crash would.
func (s *Site) Kill() { s.process.Kill() }

// Stop ends the server as systemd would, and says whether it ended well.
func (s *Site) Stop(ctx context.Context) error { return s.process.Stop(ctx) }

// Griddle runs the griddle program in the server's namespace and returns what it prints.
func (s *Site) Griddle(ctx context.Context, args ...string) (string, error) {
	return s.room.run(ctx, "server", s.room.opt.Binary, args...)
}

// Publish publishes the container as the next version of an image.
func (s *Site) Publish(ctx context.Context, c *Container, image string) (imagestore.Published, error) {
	key := s.room.path("publisher.key")
	if _, err := os.Stat(key); errors.Is(err, fs.ErrNotExist) {
		if _, err := s.Griddle(ctx, "key", "new", key); err != nil {
			return imagestore.Published{}, err
		}
	}
	out, err := s.Griddle(ctx, "publish", "lxc:"+c.Name, image, "--lxcpath", c.LXCPath,
		"--store", filepath.Join(s.state(), "store"),
		"--key", key, "--trust-key", "--output", "json")
	if err != nil {
		return imagestore.Published{}, err
	}
	var p imagestore.Published
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		return p, fmt.Errorf("reading what publish printed: %w", err)
	}
	s.room.logf("%s is published: %s stream of %s, %s stored, %.1f s", p.Ref, p.Kind, job.Bytes(p.Raw),
		job.Bytes(p.Wire), p.Seconds)
	return p, nil
}

// Recompress encodes all images again, as a server does in the background: long frames, and deltas
// with dictionaries too.
func (s *Site) Recompress(ctx context.Context) ([]imagestore.Recompressed, error) {
	out, err := s.Griddle(ctx, "image", "recompress", "--level", "12", "--store", filepath.Join(s.state(), "store"),
		"--output", "json")
	if err != nil {
		return nil, err
	}
	var got []imagestore.Recompressed
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		return nil, fmt.Errorf("recompressing: %w", err)
	}
	return got, nil
}

// Install orders an install of a machine, which it begins at its next boot. More are flags of
// `griddle machine install`.
func (s *Site) Install(ctx context.Context, m *Machine, image string, more ...string) error {
	_, err := s.machine(ctx, append([]string{"install", m.MAC, "--image", image}, more...)...)
	return err
}

// Plan is what `griddle machine plan` says of a machine and a layout file, as JSON.
func (s *Site) Plan(ctx context.Context, m *Machine, image, file string) (string, error) {
	return s.machine(ctx, "plan", m.MAC, "--image", image, "--layout", file, "-o", "json")
}

// Update orders another image for a machine that is installed, after its service has checked in. More are flags of
// `griddle machine update`.
func (s *Site) Update(ctx context.Context, m *Machine, image string, more ...string) error {
	return s.UpdateAll(ctx, []*Machine{m}, image, more...)
}

// WaitCheckIn waits until the service of an installed machine has checked in, since the server started.
func (s *Site) WaitCheckIn(ctx context.Context, m *Machine) error {
	known, err := s.Machine(ctx, m)
	if err != nil {
		return err
	}
	return s.Log.WaitCount(ctx, `msg="service checks in" machine=`+known.Name+` `, 1)
}

// UpdateAll is Update for several machines, in one order.
func (s *Site) UpdateAll(ctx context.Context, machines []*Machine, image string, more ...string) error {
	args := []string{"update"}
	for _, m := range machines {
		if err := s.WaitCheckIn(ctx, m); err != nil {
			return err
		}
		args = append(args, m.MAC)
	}
	_, err := s.machine(ctx, append(append(args, "--image", image), more...)...)
	return err
}

// Order is Update for a machine whose service has checked in before the server started.
func (s *Site) Order(ctx context.Context, m *Machine, image string, more ...string) error {
	_, err := s.machine(ctx, append([]string{"update", m.MAC, "--image", image}, more...)...)
	return err
}

// Relay orders m to relay an image, from its next boot on.
func (s *Site) Relay(ctx context.Context, m *Machine, image string) error {
	_, err := s.Griddle(ctx, "multicast", "relay", m.MAC, "--image", image, "--state-dir", s.state())
	return err
}

// Sessions are the multicast sessions that there are now.
func (s *Site) Sessions(ctx context.Context) ([]multicast.Listed, error) {
	out, err := s.Griddle(ctx, "multicast", "list", "--output", "json", "--state-dir", s.state())
	if err != nil {
		return nil, err
	}
	var got []multicast.Listed
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		return nil, fmt.Errorf("listing multicast sessions: %w", err)
	}
	return got, nil
}

// Machine is what the server knows of m.
func (s *Site) Machine(ctx context.Context, m *Machine) (api.Machine, error) {
	var got api.Machine
	out, err := s.machine(ctx, "show", m.MAC, "--output", "json")
	if err != nil {
		return got, err
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		return got, fmt.Errorf("reading what the server knows of %s: %w", m.Name, err)
	}
	return got, nil
}

// Journal is the server's journal of m so far, the oldest first.
func (s *Site) Journal(ctx context.Context, m *Machine) ([]fleet.Entry, error) {
	out, err := s.machine(ctx, "log", m.MAC, "--output", "json")
	if err != nil {
		return nil, err
	}
	var all []fleet.Entry
	for line := range strings.Lines(out) {
		e, err := entry(line)
		if err != nil {
			return nil, fmt.Errorf("reading the journal of %s: %w", m.Name, err)
		}
		all = append(all, e)
	}
	return all, nil
}

// WaitJournal waits until the journal of m has an entry that ok accepts, from the machine's first one on.
func (s *Site) WaitJournal(ctx context.Context, m *Machine, what string,
	ok func(fleet.Entry) bool) (fleet.Entry, error) {
	journal, stop, err := s.Follow(m)
	if err != nil {
		return fleet.Entry{}, err
	}
	defer stop()
	for {
		line, err := journal.Wait(ctx, `^\{.*\}$`)
		if err != nil {
			return fleet.Entry{}, fmt.Errorf("waiting for %s on %s: %w", what, m.Name, err)
		}
		e, err := entry(line.Text)
		if err != nil {
			return e, fmt.Errorf("reading the journal of %s: %w", m.Name, err)
		}
		if ok(e) {
			return e, nil
		}
		if e.Event.State == job.Failed {
			// Unless it is an older job's.
			now, err := s.Machine(ctx, m)
			if err != nil {
				return e, err
			}
			if now.Job != nil && now.Job.Spec.ID == e.Event.Job {
				return e, fmt.Errorf("waiting for %s on %s: the job failed: %s", what, m.Name, e.Event.Message)
			}
		}
	}
}

// InState accepts the entry with which a job came into a state.
func InState(s job.State) func(fleet.Entry) bool {
	return func(e fleet.Entry) bool { return e.Event.State == s }
}

// Deployed accepts the entry with which an installed system was heard of.
func Deployed(e fleet.Entry) bool { return strings.HasSuffix(e.Event.Message, ": deployed") }

func entry(line string) (e fleet.Entry, err error) {
	err = json.Unmarshal([]byte(line), &e)
	return e, err
}

func (s *Site) machine(ctx context.Context, args ...string) (string, error) {
	return s.Griddle(ctx, append(append([]string{"machine"}, args...), "--state-dir", s.state())...)
}
