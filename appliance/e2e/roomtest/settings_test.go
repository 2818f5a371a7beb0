package roomtest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/e2etest"
)

// The addresses of the machine in the secure state, and what its settings have that is secret.
const (
	secondCard = "52:54:00:77:01:b1"
	uuidOfBIOS = "77777777-0000-4000-8000-0000000000b1"
	static     = "10.78.0.5"
	secret     = "only for room-bios"
)

// consolePassword is root's on the machine whose settings are console.yaml, which have its hash.
const consolePassword = "walk in"

// imageDefaults leaves the image's settings and its hook in the template.
func imageDefaults(t *testing.T, c *e2e.Container) {
	t.Helper()
	b, err := os.ReadFile("testdata/settings/image.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const hook = "#!/bin/sh\necho \"image $GRIDDLE_FIRMWARE $GRIDDLE_IMAGE\" >>/etc/deployed\n"
	for _, f := range []struct {
		name, text string
		mode       os.FileMode
	}{{"etc/griddle/settings.yaml", string(b), 0o644}, {"etc/griddle/deploy.d/10-image", hook, 0o755}} {
		if err := c.WriteFile(f.name, f.text, f.mode); err != nil {
			t.Fatal(err)
		}
	}
}

// siteDefaults is the server's configuration file, with the site's settings, and services that check in often.
func siteDefaults(t *testing.T, room *e2e.Room) string {
	t.Helper()
	settings, err := filepath.Abs("testdata/settings/site.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return write(t, room, "griddle.yaml", "settings: "+settings+"\ncheck_in_every: 10s\n")
}

// set gives a machine the settings in testdata/settings/NAME.yaml.
func (s *suite) set(ctx context.Context, t *testing.T, m *e2e.Machine, name string) {
	t.Helper()
	b, err := os.ReadFile("testdata/settings/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, s.room, name+".yaml", strings.ReplaceAll(string(b), "ADA", s.ada.Public))
	if err := s.site.Set(ctx, m, file); err != nil {
		t.Fatal(err)
	}
}

// write leaves a file in the room.
func write(t *testing.T, room *e2e.Room, name, text string) string {
	t.Helper()
	file := filepath.Join(room.Dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// checkSecure looks at a machine with the settings in secure.yaml, in one login.
func (s *suite) checkSecure(ctx context.Context, t *testing.T, sh e2etest.Shell) {
	t.Helper()
	looks := []struct{ command, want string }{
		{"tr ' ' '\n' </proc/cmdline | grep ^lab", "lab.image=1\nlab.machine=1"},
		{"readlink -f /etc/localtime", "/usr/share/zoneinfo/Europe/Berlin"},
		{"getent passwd ada | cut -d: -f5", "Ada Lovelace"},
		{"stat -c '%U %a' /etc/lab.key; cat /etc/lab.key", "ada 600\n" + secret},
		{"tail -n +2 /proc/swaps | awk '{print $1, $2}'", "/swap/swapfile file"},
		{"cat /etc/deployed", "image bios " + s.image + "\nsite room-bios\nmachine room-bios"},
		{"ip -4 -o address show lab0 | awk '{print $4}'", static + "/24"},
		{"ip -4 -o address show lab0.7 | awk '{print $4}'; ip -d link show lab0.7 | grep -o 'id 7'",
			"10.79.0.5/24\nid 7"},
	}
	var all strings.Builder
	for _, look := range looks {
		all.WriteString(look.command + "; echo ==; ")
	}
	got := strings.Split(sh.Ask(ctx, t, all.String()+"true"), "==")
	for i, look := range looks {
		if i >= len(got) || strings.TrimSpace(got[i]) != look.want {
			t.Errorf("%s does not print\n%s\nin %q", look.command, look.want, got)
		}
	}
}

// checkVLAN has the machine speak on its VLAN, which no one answers, and looks for its tag on the wire.
func (s *suite) checkVLAN(ctx context.Context, t *testing.T, sh e2etest.Shell) {
	t.Helper()
	wire, err := s.room.Sniff(ctx, "vlan 7")
	if err != nil {
		t.Fatal(err)
	}
	_ = sh.Ask(ctx, t, "timeout 1 bash -c '</dev/tcp/10.79.0.1/9' || true")
	if _, err := wire.Wait(ctx, `vlan 7, .*who-has 10\.79\.0\.1 tell 10\.79\.0\.5`); err != nil {
		t.Error(err)
	}
}

// checkHooks looks for what the hooks printed in the journal.
func (s *suite) checkHooks(ctx context.Context, t *testing.T, m *e2e.Machine) {
	t.Helper()
	all, err := s.site.Journal(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, e := range all {
		text.WriteString(e.Event.Message + "\n")
	}
	if !strings.Contains(text.String(), "the hook of the site runs") {
		t.Errorf("the journal of %s does not have what the hook of the site prints:\n%s", m.Name, text.String())
	}
	if strings.Contains(text.String(), secret) {
		t.Errorf("the journal of %s has a secret", m.Name)
	}
}
