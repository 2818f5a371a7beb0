package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"griddle/appliance/api"
	"griddle/appliance/config"
	"griddle/appliance/job"
	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/coordinator"
)

// streams is what the API sees of multicast.
type streams struct{ c *coordinator.Coordinator }

// Ask implements api.Streams.
func (s streams) Ask(ctx context.Context, who api.StreamAsker, body json.RawMessage) (any, error) {
	var ask multicast.Ask
	if err := json.Unmarshal(body, &ask); err != nil {
		return nil, job.NewProblem(http.StatusBadRequest, "reading the question: "+job.Sentence(err.Error()))
	}
	if _, err := blob.ParseDigest(string(ask.Encoding)); err != nil {
		return nil, job.NewProblem(http.StatusBadRequest, "reading the question: "+job.Sentence(err.Error()))
	}
	a, err := s.c.Ask(ctx, coordinator.Asker{Machine: who.Machine, Expected: who.Expected, Relay: who.Relay,
		Coming: who.Coming, Patience: who.Patience}, ask)
	if errors.Is(err, blob.ErrNotExist) {
		return nil, job.NewProblem(http.StatusNotFound, err.Error())
	}
	return a, err
}

// Report implements api.Streams.
func (s streams) Report(_ context.Context, machine string, body json.RawMessage) (any, error) {
	var r multicast.RelayReport
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, job.NewProblem(http.StatusBadRequest, "reading a relay's report: "+job.Sentence(err.Error()))
	}
	c, err := s.c.Report(machine, r)
	if err != nil && !errors.Is(err, multicast.ErrNoSession) {
		return nil, job.NewProblem(http.StatusBadRequest, job.Sentence(err.Error()))
	}
	return c, noSession(err)
}

// List implements api.Streams.
func (s streams) List() any { return s.c.List() }

// Control implements api.Streams.
func (s streams) Control(session, action string, c api.StreamControl) error {
	var id multicast.ID
	if err := id.UnmarshalText([]byte(session)); err != nil {
		return job.NewProblem(http.StatusBadRequest, err.Error())
	}
	var err error
	switch action {
	case "start":
		err = s.c.Start(id)
	case "hold":
		err = s.c.Hold(id, c.For())
	case "cap":
		err = s.c.Cap(id, c.Rate)
	case "stop":
		err = s.c.Stop(id)
	default:
		return job.NewProblem(http.StatusNotFound,
			fmt.Sprintf("a session knows start, hold, cap and stop, but not %q", job.Printable(action)))
	}
	if err = noSession(err); err != nil && !errors.Is(err, api.ErrNoSession) {
		return job.NewProblem(http.StatusBadRequest, err.Error())
	}
	return err
}

// gone is an error that means that there is no such session.
type gone struct{ error }

// Is makes it api.ErrNoSession.
func (gone) Is(target error) bool { return target == api.ErrNoSession }

func noSession(err error) error {
	if errors.Is(err, multicast.ErrNoSession) {
		return gone{err}
	}
	return err
}

// multicast makes the coordinator of the provisioning network.
func (s *server) multicast(nw network) (*coordinator.Coordinator, error) {
	conf := s.config.Multicast
	o := coordinator.Options{
		Off: !conf.Enabled, Groups: conf.Groups, Port: uint16(conf.Port), TTL: conf.TTL, Gather: conf.Gather,
		Machines: conf.Machines, Rate: ceiling(conf.Rate, 0), Sources: []string{s.imagesURL()},
		Private: s.config.Images == config.ImagesPrivate, Log: s.log, Now: s.now, Open: s.encoding,
	}
	ifi, err := net.InterfaceByName(nw.iface)
	if err != nil {
		return nil, fmt.Errorf("finding the interface %s: %w", nw.iface, err)
	}
	o.Links = []coordinator.Link{{Interface: ifi, Address: nw.prefix,
		Budget: multicast.NewBudget(ceiling(conf.Rate, linkSpeed("/sys", nw.iface)))}}
	return coordinator.New(o)
}

// The most that is sent where nobody says how much the switch and the slowest port behind it bear, in Mbit/s.
const carefulRate = 200

// ceiling is the budget in payload bytes per second, of what was configured and of what the link does, both in Mbit/s.
func ceiling(configured, speed int) int64 {
	rate := configured
	if rate == 0 {
		rate = carefulRate
		if speed > 0 {
			rate = max(1, min(rate, speed*4/5))
		}
	}
	return int64(rate) * 1_000_000 / 8
}

// linkSpeed is an interface's speed in Mbit/s, 0 where it has none to tell (Documentation/ABI/testing/sysfs-class-net).
func linkSpeed(sys, iface string) int {
	b, err := os.ReadFile(filepath.Join(sys, "class/net", iface, "speed"))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// openFile is an encoding that a sender reads; deleting the image does not take it away.
type openFile struct {
	*os.File
	size int64
}

func (f openFile) Size() int64 { return f.size }

// encoding opens an encoding of the store for a sender.
func (s *server) encoding(_ context.Context, d blob.Digest) (coordinator.Encoding, error) {
	dir, ok := s.store.Blobs.(interface {
		File(blob.Digest) (*os.File, error)
	})
	if !ok {
		return nil, fmt.Errorf("opening encoding %s: the store is not a local directory: %w", d, errors.ErrUnsupported)
	}
	f, err := dir.File(d)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return openFile{f, st.Size()}, nil
}
