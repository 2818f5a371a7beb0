//go:build e2e

package full

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/e2etest"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// A story is an image whose system takes its machine down in the middle of its trial.
type story struct {
	name string
	when string // of a shell: what has to be true before
	deed string // of a shell, as root
	says string // a line on the console after it
	why  string // what the server says of it

	deadline string // of the trial; "" for ten minutes
	image    string
}

// illUnit does the deed, as soon as the trial is written down.
const illUnit = `[Unit]
Description=Take this machine down
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'until [ -s /persistent/griddle/trial.json ] && WHEN; do sleep 1; done; sync; ` +
	`echo STORY >/dev/ttyS0; DEED'
[Install]
WantedBy=multi-user.target
`

// TestFallback updates installed machines to images whose systems panic or hang. Each of them runs its former system
// again without anyone's help, and the server knows why.
func TestFallback(t *testing.T) {
	e2etest.Passes(t)
	s := open(t, e2e.Proxy)
	const gone = `it started at .*, and left no other report: a power cut, a panic, a hang or a restart`
	stories := []story{
		{name: "panic", when: "true", deed: "echo c >/proc/sysrq-trigger",
			says: `Kernel panic - not syncing: sysrq triggered crash`, why: gone},
		{name: "all processes but 1 are frozen", when: "grep -qs ^active /sys/class/watchdog/watchdog0/state",
			deed: "kill -s STOP -- -1; sleep infinity", says: `softdog: Initiating system reboot`, why: gone},
		{name: "process 1 is dead", when: "true", deed: "kill -s SEGV 1", deadline: "3m",
			says: `reboot: Restarting system`, why: `it did not pass its trial within 3m0s: systemd does not answer`},
	}
	for i := range stories {
		stories[i].image = s.ill(t, stories[i])
	}
	t.Run("machines", func(t *testing.T) {
		for f, of := range map[e2e.Firmware][]story{e2e.BIOS: stories, e2e.UEFI: stories[:1]} {
			t.Run(string(f), func(t *testing.T) {
				e2etest.Passes(t)
				t.Parallel()
				s.fallsBack(t, f, of)
			})
		}
	})
}

// ill publishes the image of a story.
func (s *suite) ill(t *testing.T, c story) string {
	t.Helper()
	const dir = "etc/systemd/system/"
	files := map[string]string{"ill.service": strings.NewReplacer("WHEN", c.when, "DEED", c.deed).Replace(illUnit)}
	if c.deadline != "" {
		files["griddle-deadline.service.d/short.conf"] = "[Service]\nEnvironment=DEADLINE=" + c.deadline + "\n"
	}
	for name, text := range files {
		if err := s.container.WriteFile(dir+name, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.container.Run(t.Context(), "systemctl", "enable", "ill.service"); err != nil {
		t.Fatal(err)
	}
	return s.publish(t)
}

// fallsBack installs a machine and tells it some stories.
func (s *suite) fallsBack(t *testing.T, f e2e.Firmware, stories []story) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	m := s.machine(ctx, t, string(f), f, e2e.Virtio)
	s.order(ctx, t, m)
	on(ctx, t, m)
	defer m.PowerCut()
	t.Logf("figure: %s: %v", t.Name(), s.watch(ctx, t, m))
	if err := m.Login(ctx); err != nil {
		t.Fatal(err)
	}
	const state = kept + "; sha256sum /home/work /persistent/work"
	before := e2etest.Shell(m.Run).Ask(ctx, t, "for d in /home /persistent; do "+
		"head -c 300000 /dev/urandom >$d/work; done; "+state+"; sync")
	for _, c := range stories {
		begun := time.Now()
		if err := s.site.Update(ctx, m, c.image); err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{"STORY", c.says} {
			if _, err := m.Console().Wait(ctx, line); err != nil {
				t.Fatal(err)
			}
		}
		down := time.Now()
		fell, err := s.ofJob(ctx, m, "the fallback", func(e fleet.Entry) bool { return e.Event.State == job.Failed })
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("figure: %s: %s: down after %.1f s, reported %.1f s later: %s", f, c.name, down.Sub(begun).Seconds(),
			time.Since(down).Seconds(), fell.Event.Message)
		if !regexp.MustCompile(c.why).MatchString(fell.Event.Message) {
			t.Errorf("%s: %s: the server knows only that %q", f, c.name, fell.Event.Message)
		}
		if _, err := m.WaitLogin(ctx); err != nil {
			t.Fatal(err)
		}
		if err := m.Login(ctx); err != nil {
			t.Fatal(err)
		}
		s.checkUpdated(ctx, t, m, s.image, before, e2etest.Shell(m.Run).Ask(ctx, t, state))
		if known, err := s.site.Machine(ctx, m); err != nil || known.Status != "update failed" {
			t.Errorf("%s: %s: the server says that the machine is %q, %v", f, c.name, known.Status, err)
		}
	}
}
