package roomtest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/e2etest"
	"griddle/appliance/fleet"
)

var update = e2etest.Update()

const (
	diskSize = 4 << 30
	// limit ends a test that hangs, with the machine's last lines, before go test ends all of them without.
	limit = 45 * time.Minute
)

// TestRoom has another DHCP server on the LAN, and griddle beside it. An unknown machine boots the agent.
func TestRoom(t *testing.T) {
	room := e2etest.Open(t)
	ctx := t.Context()
	container, err := room.Container(ctx)
	if err != nil {
		t.Fatal(err)
	}
	imageDefaults(t, container)
	site := room.Site(e2e.Proxy)
	versions, err := site.PublishTwice(ctx, container)
	if err != nil {
		t.Fatal(err)
	}
	if versions[0].Kind != "full" || versions[1].Kind != "delta" || versions[1].Parent != versions[0].Ref {
		t.Errorf("published %+v, want a full stream and a delta on it", versions)
	}
	if err := room.LANServer(ctx); err != nil {
		t.Fatal(err)
	}
	if err := room.Address(ctx, "10.78.0.1/24"); err != nil {
		t.Fatal(err)
	}
	ada, err := room.Key(ctx, "ada")
	if err != nil {
		t.Fatal(err)
	}
	if err := site.Start(ctx, "--config", siteDefaults(t, room), "--unknown-machines", "agent"); err != nil {
		t.Fatal(err)
	}
	s := &suite{room: room, site: site, container: container, image: versions[1].Ref, ada: ada,
		begun: make(chan struct{})}
	// In a group, so that the two machines are done before the room is closed.
	t.Run("machines", func(t *testing.T) {
		t.Run("BIOS without a key", s.unattended)
		t.Run("UEFI by keys", s.byKeys)
	})
	if err := site.Stop(ctx); err != nil {
		t.Errorf("stopping the server: %v", err)
	}
}

type suite struct {
	room      *e2e.Room
	site      *e2e.Site
	container *e2e.Container
	image     string
	ada       e2e.Key // of the user in the settings

	begun chan struct{} // closed when both machines have the image that they get, or will not get it any more
}

// unattended installs a machine whose job and settings were there before it was seen. The settings have a secret: an
// operator approves the machine, and a computer that says to be it gets nothing.
func (s *suite) unattended(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	m, other := s.machine(ctx, t, "bios", e2e.BIOS)
	if err := s.site.Install(ctx, m, s.image, "--disk", "serial:ROOM-bios", "--hostname", "of-the-job"); err != nil {
		t.Fatal(err)
	}
	s.set(ctx, t, m, "secure")
	if err := m.PowerOn(ctx); err != nil {
		t.Fatal(err)
	}
	liar := e2etest.NewImpostor(ctx, t, s.room, s.site, m)
	liar.GetsNoSecret(ctx, t)
	if err := s.site.Approve(ctx, m); err != nil {
		t.Fatal(err)
	}
	liar.GetsNoSecret(ctx, t)
	times, err := s.site.Watch(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("figure: bios: %v", times)
	sh := e2etest.Sudo(s.room, s.ada, "ada", static)
	s.checkSecure(ctx, t, sh)
	s.checkVLAN(ctx, t, sh)
	s.checkHooks(ctx, t, m)
	out, err := s.site.Audit(ctx, m, s.ada)
	if err != nil {
		t.Errorf("the audit of %s: %v\n%s", m.Name, err, out)
	}
	s.deployed(ctx, t, m, sh, "room-bios")
	s.updates(ctx, t, m, sh)
	s.oneAgent(ctx, t, m)
	other()
}

// byKeys installs a machine that nobody knows, as a person would at its serial console.
func (s *suite) byKeys(t *testing.T) {
	t.Parallel()
	begun := sync.OnceFunc(func() { close(s.begun) })
	defer begun()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	m, other := s.machine(ctx, t, "uefi", e2e.UEFI)
	if err := m.PowerOn(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Console().WaitScreen(ctx, `> i  Install an image`); err != nil {
		t.Fatal(err)
	}
	s.set(ctx, t, m, "console")
	for _, link := range []struct {
		up      bool
		pattern string
	}{{false, `eth0 has no link\. Plug in its cable`}, {true, `Network +eth0 +\S+ +10\.77\.0\.\d+/24\n`}} {
		if err := m.SetLink(ctx, link.up); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Console().WaitScreen(ctx, link.pattern); err != nil {
			t.Fatal(err)
		}
	}
	for _, page := range []struct{ name, pattern, keys string }{
		{"welcome", `> i  Install an image`, "i"},
		{"image", `1 of 4: image`, e2e.KeyEnter},
		{"disk", `(?s)2 of 4: disk.*> /dev/vda`, e2e.KeyDown},
		{"disk-other", `> /dev/vdb`, e2e.KeyUp},
		{"disk", `> /dev/vda`, e2e.KeyEnter},
		{"ways", `3 of 4: how to use the disk`, e2e.KeyEnter},
		{"plan", `4 of 4: the plan`, "no such disk" + e2e.KeyEnter},
		{"plan-wrong", `> no such disk`, "\x15ROOM-uefi"},
		{"plan-right", `> ROOM-uefi`, e2e.KeyEnter},
	} {
		e2etest.Screen(ctx, t, *update, m, page.name, page.pattern)
		e2etest.Press(t, m, page.keys)
	}
	if err := s.site.Approve(ctx, m); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Console().WaitScreen(ctx, `\[ >> \] Receive image`, `\d+ %`, `[kM]B/s`); err != nil {
		t.Fatal(err)
	}
	begun()
	e2etest.Screen(ctx, t, *update, m, "result", `(?m)^ (Installed:|NOT INSTALLED)`)
	e2etest.Press(t, m, "r")
	times, err := s.site.Watch(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("figure: uefi: %v", times)
	known, err := s.site.Machine(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Login(ctx); err != nil {
		t.Fatal(err)
	}
	s.deployed(ctx, t, m, m.Run, known.Name)
	s.restarts(ctx, t, m, m.Run)
	s.oneAgent(ctx, t, m)
	s.checkHooks(ctx, t, m)
	other()
}

// machine has a blank disk and one that must stay as it is.
func (s *suite) machine(ctx context.Context, t *testing.T, name string,
	f e2e.Firmware) (m *e2e.Machine, otherIsUntouched func()) {
	t.Helper()
	disk, err := s.room.MakeDisk(name, diskSize)
	if err != nil {
		t.Fatal(err)
	}
	other, check := e2etest.OtherDisk(t, s.room, "OTHER-"+name)
	h := e2e.Hardware{Name: name, Firmware: f, Disks: []e2e.Disk{{File: disk, Serial: "ROOM-" + name}, other},
		MAC: "52:54:00:77:00:e1", Password: consolePassword}
	if f == e2e.BIOS {
		h.Clock, h.Memory = "2001-01-01T00:00:00", 512 // the least that is supported
		h.MAC, h.Second, h.UUID = "52:54:00:77:00:b1", secondCard, uuidOfBIOS
	}
	m, err = s.room.Machine(ctx, h)
	if err != nil {
		t.Fatal(err)
	}
	return m, check
}

// deployed checks what must hold once the machine has reported itself: the journal is complete, and the system is the
// right one.
func (s *suite) deployed(ctx context.Context, t *testing.T, m *e2e.Machine, sh e2etest.Shell,
	hostname string) {
	t.Helper()
	known, err := s.site.Machine(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	if known.Status != "deployed" || known.Deployed == nil || known.Deployed.Image != s.image ||
		known.Deployed.Report.Hostname != hostname {
		t.Errorf("the server knows %s as %q with %+v, want it deployed with %s as %s", m.Name, known.Status,
			known.Deployed, s.image, hostname)
	}
	e2etest.CheckJournal(t, s.site, m)
	e2etest.CheckShell(ctx, t, sh, m, s.container, hostname)
	// The BIOS machine was switched on in 2001 by its clock. The install set it.
	clock, err := sh(ctx, `[ $(cat /sys/class/rtc/rtc0/since_epoch) -gt 1700000000 ] && [ /usr/lib/clock-epoch `+
		`-nt /etc/debian_version ] && echo right`)
	if err != nil || strings.TrimSpace(clock) != "right" {
		t.Errorf("the hardware clock of %s, or /usr/lib/clock-epoch: %q, %v", m.Name, clock, err)
	}
}

// restarts checks that a restart, with the network first, ends at the same system because the server says so.
func (s *suite) restarts(ctx context.Context, t *testing.T, m *e2e.Machine, sh e2etest.Shell) {
	t.Helper()
	// Where no operator gave the order, the disk is behind a menu, as its default.
	handed := `msg="boot script" mac=` + m.MAC + ` .*action=("local disk"|menu)`
	before := s.site.Log.Count(handed) // the server did it after the install too
	if _, err := sh(ctx, "(setsid sh -c 'sleep 1; reboot' >/dev/null 2>&1 &)"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.WaitReset(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.site.Log.WaitCount(ctx, handed, before+1); err != nil {
		t.Fatal(err)
	}
	if _, err := m.WaitLogin(ctx); err != nil {
		t.Fatal(err)
	}
}

// oneAgent checks that one boot of the agent is all that there was.
func (s *suite) oneAgent(ctx context.Context, t *testing.T, m *e2e.Machine) {
	t.Helper()
	boots := map[string]bool{}
	all, err := s.site.Journal(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Boot != "" && !fromAppliance(e) {
			boots[e.Boot] = true
		}
	}
	if len(boots) != 1 {
		t.Errorf("the agent ran %d times on %s, want once: %s", len(boots), m.Name, strings.Join(keys(boots), " "))
	}
}

func fromAppliance(e fleet.Entry) bool { return e.Event.Seq == 0 }

func keys(m map[string]bool) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	return out
}
