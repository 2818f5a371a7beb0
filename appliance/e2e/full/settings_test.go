//go:build e2e

package full

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/e2etest"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// variant is one way of an image to configure its network, and one way of a machine to configure itself.
type variant struct {
	name     string
	template []string // what is done in the template, which has the ones before already
	address  string
	settings string // besides network and users
	want     string // what the configuration leaves in /etc/configured
}

// The programs of the site, from a directory of the image and from a repository on the LAN. Both write what they got
// into /etc/configured.
const (
	manifest = "file { '/etc/configured': content => \"puppet from %s for ${lookup('role')}\\n\" }\n"
	playbook = "- hosts: localhost\n  gather_facts: false\n  tasks:\n    - copy:\n        dest: /etc/configured\n" +
		"        content: \"ansible from %s for {{ role }}\\n\"\n"
)

// TestSettings installs four machines with settings that have secrets; an operator approves each by the code on its
// screen. Three images have no cloud-init and another program for the network each, the fourth has cloud-init. Puppet
// and Ansible configure them, from a repository and from a directory.
func TestSettings(t *testing.T) {
	e2etest.Passes(t)
	s := openRich(t)
	url, err := s.room.Repository(t.Context(), map[string]string{
		"site.pp": fmt.Sprintf(manifest, "git"), "local.yml": fmt.Sprintf(playbook, "git")})
	if err != nil {
		t.Fatal(err)
	}
	ada, err := s.room.Key(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	variants := []variant{
		{"networkd", nil, "10.77.0.51", "configure: {tool: puppet, path: /srv/site, data: {role: desk}}",
			"puppet from image for desk"},
		{"ifupdown", []string{"systemctl disable systemd-networkd.service",
			"systemctl enable networking.service"}, "10.77.0.52",
			"configure: {tool: puppet, git: " + url + ", data: {role: desk}}", "puppet from git for desk"},
		{"manager", []string{"systemctl disable networking.service", "systemctl enable NetworkManager.service"},
			"10.77.0.53", "configure: {tool: ansible, git: " + url + ", branch: main, data: {role: desk}}",
			"ansible from git for desk"},
		{"cloudinit", []string{"systemctl disable NetworkManager.service", "systemctl enable networking.service",
			"rm /etc/cloud/cloud-init.disabled"}, "10.77.0.54",
			"configure: {tool: ansible, path: /srv/site, data: {role: desk}}", "ansible from image for desk"},
	}
	images := make([]string, len(variants))
	for i, v := range variants {
		for _, command := range v.template {
			if err := s.container.Run(t.Context(), "sh", "-c", command); err != nil {
				t.Fatal(err)
			}
		}
		images[i] = s.publish(t)
	}
	s.start(t)
	t.Run("machines", func(t *testing.T) {
		for i, v := range variants {
			t.Run(v.name, func(t *testing.T) {
				e2etest.Passes(t)
				t.Parallel()
				s.declared(t, v, images[i], ada)
			})
		}
	})
}

// openRich furnishes a room whose template has every program that settings are for.
func openRich(t *testing.T) *suite {
	t.Helper()
	s := openWith(t, (*e2e.Room).RichContainer)
	for name, text := range map[string]string{"srv/site/site.pp": fmt.Sprintf(manifest, "image"),
		"srv/site/local.yml": fmt.Sprintf(playbook, "image")} {
		if err := s.container.WriteFile(name, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.configure(t, "")
	return s
}

// configure writes the server's configuration file.
func (s *suite) configure(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(s.config, []byte(slowNVMe+text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// declared installs one machine with settings. The first one is installed again at the end, see again.
func (s *suite) declared(t *testing.T, v variant, image string, ada e2e.Key) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	m := s.machine(ctx, t, v.name, e2e.UEFI, e2e.Virtio)
	s.set(ctx, t, m, v, ada)
	if err := s.site.Install(ctx, m, image, "--disk", "serial:"+v.name); err != nil {
		t.Fatal(err)
	}
	on(ctx, t, m)
	defer m.PowerCut()
	if err := s.site.Approve(ctx, m); err != nil {
		t.Fatal(err)
	}
	t.Logf("figure: %s: %v", t.Name(), s.watch(ctx, t, m))
	s.checkDeclared(ctx, t, v, ada)
}

// set gives a machine its settings.
func (s *suite) set(ctx context.Context, t *testing.T, m *e2e.Machine, v variant, ada e2e.Key) {
	t.Helper()
	// Without a locale cloud-init sets one that the image does not have, and fails.
	text := fmt.Sprintf(`hostname: %s
locale: C.UTF-8
users:
  - {name: ada, sudo: true, keys: [%s]}
network:
  interfaces:
    - {name: lan0, mac: "%s", addresses: [%s/24]}
files:
  - {path: /etc/lab.key, content: secret, secret: true}
hooks:
  - {name: join, script: "#!/bin/sh\necho joined >/etc/joined\n"}
%s
`, v.name, ada.Public, m.MAC, v.address, v.settings)
	file := filepath.Join(s.room.Dir, v.name+".yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.site.Set(ctx, m, file); err != nil {
		t.Fatal(err)
	}
}

// waitConfigured waits for the run of Puppet or Ansible at the first start.
const waitConfigured = "timeout 900 sh -c 'until [ -s /etc/configured ]; do sleep 1; done'; " +
	"while systemctl is-active griddle-configure.service | grep -q activating; do sleep 1; done; "

// checkDeclared logs in by ssh and looks at what became of the settings.
func (s *suite) checkDeclared(ctx context.Context, t *testing.T, v variant, ada e2e.Key) {
	t.Helper()
	sh := e2etest.Sudo(s.room, ada, "ada", v.address)
	for _, look := range []struct{ command, want string }{
		{"hostname", v.name},
		{"cat /etc/joined", "joined"},
		{"stat -c '%U %a' /etc/lab.key", "root 600"},
		{waitConfigured + "cat /etc/configured", v.want},
		{"systemctl --failed --plain --no-legend", ""},
	} {
		if got := sh.Ask(ctx, t, look.command); got != look.want {
			t.Errorf("%s prints\n%s\nwant\n%s", look.command, got, look.want)
		}
	}
}

// TestClosed installs a machine with an operator's approval, and again after the server takes no new machines: the
// machine proves itself by the key that it kept. A computer that says to be it gets no secret.
func TestClosed(t *testing.T) {
	e2etest.Passes(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*limit)
	defer cancel()
	s := open(t, e2e.Proxy)
	ada, err := s.room.Key(ctx, "ada")
	if err != nil {
		t.Fatal(err)
	}
	v := variant{name: "keeper", address: "10.77.0.61"}
	m := s.machine(ctx, t, v.name, e2e.UEFI, e2e.NVMe)
	m.TPM = true // it seals the key
	s.set(ctx, t, m, v, ada)
	s.order(ctx, t, m)
	on(ctx, t, m)
	defer m.PowerCut()
	if err := s.site.Approve(ctx, m); err != nil {
		t.Fatal(err)
	}
	s.watch(ctx, t, m)
	sh := e2etest.Sudo(s.room, ada, "ada", v.address)
	if got := sh.Ask(ctx, t, "cd /persistent/griddle && ls machine.key*"); got != "machine.key.tpm" {
		t.Errorf("the files of the key are %q, want machine.key.tpm alone", got)
	}
	if got := sh.Ask(ctx, t, "timeout 300 sh -c 'until journalctl -q -u griddle-agent | grep -o \"checked in\"; do "+
		"sleep 1; done' | head -n 1"); got != "checked in" {
		t.Errorf("the service with the sealed key says %q", got)
	}
	before := sh.Ask(ctx, t, "sync; cat /etc/machine-id")
	m.PowerCut()

	if err := s.site.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	s.configure(t, "enrolment: closed\n")
	s.start(t)
	s.order(ctx, t, m, "--erase", v.name)
	liar := e2etest.NewImpostor(ctx, t, s.room, s.site, m)
	liar.GetsNoSecret(ctx, t)
	on(ctx, t, m)
	s.reinstalled(ctx, t, m)
	// The new system has new host keys.
	if err := os.Remove(filepath.Join(s.room.Dir, "known_hosts")); err != nil {
		t.Fatal(err)
	}
	if after := sh.Ask(ctx, t, "cat /etc/machine-id; stat -c %a /etc/lab.key"); strings.HasPrefix(after, before) ||
		!strings.HasSuffix(after, "\n600") {
		t.Errorf("the machine ID and the mode of the secret file are %q, the machine ID was %q", after, before)
	}
	liar.GetsNoSecret(ctx, t)
	all, err := s.site.Journal(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	approvals := 0
	for _, e := range all {
		if strings.Contains(e.Event.Message, "an operator approved the boot") {
			approvals++
		}
	}
	if approvals != 1 {
		t.Errorf("an operator approved %d boots, want one", approvals)
	}
}

// reinstalled waits for the end of the present job of m, and for the report of the installed system.
func (s *suite) reinstalled(ctx context.Context, t *testing.T, m *e2e.Machine) {
	t.Helper()
	known, err := s.site.Machine(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	id, done := known.Job.Spec.ID, false
	if _, err := s.site.WaitJournal(ctx, m, "the report after the second install", func(e fleet.Entry) bool {
		done = done || e.Event.Job == id && e.Event.State == job.Done
		return done && e2e.Deployed(e)
	}); err != nil {
		t.Fatal(err)
	}
}
