//go:build e2e

package full

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/e2etest"
	"griddle/imagestore"
)

const (
	diskSize = 4 << 30
	// limit ends one install that hangs, with the machine's last lines.
	limit = 60 * time.Minute
)

// suite is a room with a site that has the image twice.
type suite struct {
	room      *e2e.Room
	site      *e2e.Site
	container *e2e.Container
	image     string
	config    string // the server's configuration file
}

// slowNVMe lets the installer wait for an emulated NVMe disk. The kernel's 30 seconds are long for a real one; where
// QEMU gets no processor for that long, they end in an I/O error, and btrfs makes the pool read-only.
const slowNVMe = "kernel_args: [nvme_core.io_timeout=600]\n"

// checkIns has services ask for updates as often as is allowed.
const checkIns = "check_in_every: 10s\n"

// open furnishes a room and starts the server in it.
func open(t *testing.T, mode e2e.Mode) *suite {
	t.Helper()
	room := e2etest.Open(t)
	container, err := room.Container(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	site := room.Site(mode)
	versions, err := site.PublishTwice(t.Context(), container)
	if err != nil {
		t.Fatal(err)
	}
	if mode == e2e.Proxy {
		if err := room.LANServer(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s := &suite{room: room, site: site, container: container, image: versions[1].Ref,
		config: filepath.Join(room.Dir, "griddle.yaml")}
	config := slowNVMe + checkIns
	if mode == e2e.DHCP {
		config += "images: private\n"
	}
	s.startWith(t, config)
	return s
}

// openWith furnishes a room with another template, and another DHCP server. The server does not run yet.
func openWith(t *testing.T, container func(*e2e.Room, context.Context) (*e2e.Container, error)) *suite {
	t.Helper()
	room := e2etest.Open(t)
	c, err := container(room, t.Context())
	if err == nil {
		err = room.LANServer(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return &suite{room: room, site: room.Site(e2e.Proxy), container: c, config: filepath.Join(room.Dir, "griddle.yaml")}
}

// onFirmwares runs a test on both firmwares at the same time.
func onFirmwares(t *testing.T, run func(*testing.T, e2e.Firmware)) {
	t.Helper()
	t.Run("machines", func(t *testing.T) {
		for _, f := range []e2e.Firmware{e2e.BIOS, e2e.UEFI} {
			t.Run(string(f), func(t *testing.T) {
				e2etest.Passes(t)
				t.Parallel()
				run(t, f)
			})
		}
	})
}

// publish publishes the container as it is now, and returns the reference of the image.
func (s *suite) publish(t *testing.T) string {
	t.Helper()
	p, err := s.site.Publish(t.Context(), s.container, e2e.ContainerName)
	if err != nil {
		t.Fatal(err)
	}
	return p.Ref
}

// release publishes another image, which says so in a file.
func (s *suite) release(t *testing.T, name string) string {
	t.Helper()
	if err := s.container.WriteFile("usr/lib/lab-release", name+"\n", 0o644); err != nil {
		t.Fatal(err)
	}
	return s.publish(t)
}

// planned has a machine report its disks, and makes the plan of a layout, which is in file then, for them.
func (s *suite) planned(ctx context.Context, t *testing.T, m *e2e.Machine, layout string) (file, hash string) {
	t.Helper()
	on(ctx, t, m)
	if _, err := m.Console().WaitScreen(ctx, `> i  Install an image`); err != nil {
		t.Fatal(err)
	}
	m.PowerCut()
	file = filepath.Join(t.TempDir(), "layout.yaml")
	if err := os.WriteFile(file, []byte(layout), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := s.site.Plan(ctx, m, s.image, file)
	if err != nil {
		t.Fatal(err)
	}
	return file, planHash(t, out)
}

// startWith starts the server with a configuration.
func (s *suite) startWith(t *testing.T, config string) {
	t.Helper()
	if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start(t)
}

func (s *suite) start(t *testing.T) {
	t.Helper()
	if err := s.site.Start(t.Context(), "--config", s.config, "--unknown-machines", "agent"); err != nil {
		t.Fatal(err)
	}
}

// machine has one disk, on bus; its serial is the machine's name.
func (s *suite) machine(ctx context.Context, t *testing.T, name string, f e2e.Firmware, bus e2e.Bus,
	more ...e2e.Disk) *e2e.Machine {
	t.Helper()
	disk, err := s.room.MakeDisk(name, diskSize)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.room.Machine(ctx,
		e2e.Hardware{Name: name, Firmware: f, Disks: append([]e2e.Disk{{File: disk, Bus: bus, Serial: name}}, more...)})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (s *suite) order(ctx context.Context, t *testing.T, m *e2e.Machine, more ...string) {
	t.Helper()
	if err := s.site.Install(ctx, m, s.image,
		append([]string{"--disk", "serial:" + m.Disks[0].Serial, "--hostname", m.Name}, more...)...); err != nil {
		t.Fatal(err)
	}
}

func on(ctx context.Context, t *testing.T, m *e2e.Machine) {
	t.Helper()
	if err := m.PowerOn(ctx); err != nil {
		t.Fatal(err)
	}
}

func (s *suite) watch(ctx context.Context, t *testing.T, m *e2e.Machine) e2e.Times {
	t.Helper()
	times, err := s.site.Watch(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	return times
}

// TestCombinations installs every combination of DHCP mode, firmware and kind of disk, two machines at a time, and then
// starts what was installed under the other firmware too. Where Griddle is the DHCP server the image is recompressed,
// and images are private.
func TestCombinations(t *testing.T) {
	for _, mode := range []e2e.Mode{e2e.Proxy, e2e.DHCP} {
		t.Run(string(mode), func(t *testing.T) {
			e2etest.Passes(t)
			s := open(t, mode)
			if mode == e2e.DHCP {
				s.recompress(t)
			}
			// In a group, so that the room outlives its machines.
			t.Run("machines", func(t *testing.T) {
				for _, bus := range []e2e.Bus{e2e.Virtio, e2e.NVMe, e2e.SCSI} {
					for _, firmware := range []e2e.Firmware{e2e.BIOS, e2e.UEFI} {
						name := string(firmware) + "-" + string(bus)
						t.Run(name, func(t *testing.T) {
							e2etest.Passes(t)
							t.Parallel()
							s.combination(t, name, firmware, bus)
						})
					}
				}
			})
		})
	}
}

// recompress has the machines get their image from long frames, and from dictionaries where one stands on another.
func (s *suite) recompress(t *testing.T) {
	t.Helper()
	made, err := s.site.Recompress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(made, func(r imagestore.Recompressed) bool {
		return r.Dictionary > 0
	}); len(made) != 2 || i < 0 {
		t.Fatalf("recompressing made %+v, want two encodings, one with dictionaries", made)
	}
	for _, r := range made {
		t.Logf("figure: %s: %s from %q: %d bytes to fetch, %d before, %d with dictionaries", t.Name(), r.Ref, r.Parent,
			r.After, r.Before, r.Dictionary)
	}
}

func (s *suite) combination(t *testing.T, name string, firmware e2e.Firmware, bus e2e.Bus) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	m := s.machine(ctx, t, name, firmware, bus)
	s.order(ctx, t, m)
	on(ctx, t, m)
	defer m.PowerCut()
	t.Logf("figure: %s: %v", t.Name(), s.watch(ctx, t, m))
	e2etest.CheckJournal(t, s.site, m)
	e2etest.CheckSystem(ctx, t, m, s.container, name)
	if _, err := m.Run(ctx, "sync"); err != nil {
		t.Fatal(err)
	}
	m.PowerCut()
	other := map[e2e.Firmware]e2e.Firmware{e2e.BIOS: e2e.UEFI, e2e.UEFI: e2e.BIOS}[firmware]
	if err := m.SwitchFirmware(other); err != nil {
		t.Fatal(err)
	}
	on(ctx, t, m)
	at, err := m.WaitLogin(ctx)
	if err != nil {
		t.Fatalf("what was installed under %s does not start under %s: %v", firmware, other, err)
	}
	t.Logf("figure: %s: login prompt under %s after %.1f s", t.Name(), other, at.Seconds())
}
