package inventory

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/appliance/api"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

func machine(name, status, image, from string) api.Machine {
	m := api.Machine{Name: name, Status: status, ID: "id-" + name,
		Identity: job.Identity{MACs: []string{"52:54:00:00:00:01"}, Vendor: "Acme"}}
	if image != "" {
		m.Deployed = &fleet.Deployment{Image: image}
	}
	if from != "" {
		m.Service = &fleet.Service{From: from}
	}
	return m
}

// hostile is what a machine may say of itself to run a program where the inventory is used.
const hostile = "{{ lookup('pipe','touch /tmp/owned') }}{% raw %}\x1b[2J"

func room() []api.Machine {
	bad := machine("lab-3", "update failed", "web.server:1@amd64", "10.0.0.3")
	bad.Identity.Vendor, bad.Identity.Serial = hostile, hostile
	bad.LastSeen = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	stranger := machine("claimed", "new", "", "")
	stranger.Claimed = true
	return []api.Machine{
		machine("lab-1", "deployed", "web:2@amd64", "10.0.0.1"),
		machine("lab-2", "deployed", "web-server:1@amd64", "10.0.0.2"),
		bad, stranger,
		machine("localhost", "deployed", "web:2@amd64", "127.0.0.1"), // what runs there would run here
		machine("127.0.0.1", "pending", "", ""),
		machine("ALL", "pending", "", ""),
		machine("griddle", "pending", "", ""),
		machine("nat-1", "away", "lab/web:1@amd64", "192.0.2.7"), // both behind one router
		machine("nat-2", "away", "lab/web:1@amd64", "192.0.2.7"),
		machine("six", "away", "lab/web:1@amd64", "2001:db8::/64"),
	}
}

func TestForAnsible(t *testing.T) {
	inv := forAnsible(room())
	want := map[string][]string{
		"griddle": {"lab-1", "lab-2", "lab-3", "machine_localhost", "machine_127.0.0.1", "machine_ALL",
			"machine_griddle", "nat-1", "nat-2", "six"},
		"griddle_status_deployed":           {"lab-1", "lab-2", "machine_localhost"},
		"griddle_status_update_failed":      {"lab-3"},
		"griddle_status_pending":            {"machine_127.0.0.1", "machine_ALL", "machine_griddle"},
		"griddle_status_away":               {"nat-1", "nat-2", "six"},
		"griddle_image_web":                 {"lab-1", "machine_localhost"},
		"griddle_image_lab_web":             {"nat-1", "nat-2", "six"},
		"griddle_image_web_server_e4d165cf": {"lab-2"},
		"griddle_image_web_server_65f22fa6": {"lab-3"},
	}
	if !reflect.DeepEqual(inv.groups, want) {
		t.Errorf("forAnsible() has the groups %v, want %v", inv.groups, want)
	}
	addresses := map[string]any{}
	for host, v := range inv.vars {
		if a := v["ansible_host"]; a != nil {
			addresses[host] = a
		}
	}
	if want := map[string]any{"lab-1": "10.0.0.1", "lab-2": "10.0.0.2", "lab-3": "10.0.0.3"}; !reflect.DeepEqual(
		addresses, want) {
		t.Errorf("forAnsible() has the addresses %v, want %v", addresses, want)
	}
	if got := inv.vars["lab-3"]["griddle_last_seen"]; got != "2026-11-30T12:00:00Z" {
		t.Errorf("griddle_last_seen = %v", got)
	}
	if len(inv.warnings) != 3 { // of names, and of two images
		t.Errorf("forAnsible() warns %d times: %q", len(inv.warnings), inv.warnings)
	}
	if got := inv.host("no-such"); got == nil || len(got) != 0 {
		t.Errorf("host() of none = %v, want an empty object", got)
	}
}

func TestHostname(t *testing.T) {
	for name, want := range map[string]string{
		"lab-1": "lab-1", "lab-1.example": "lab-1.example", "1lab": "1lab", "face": "face", "x0x1f": "x0x1f",
		"42": "machine_42", "127.1": "machine_127.1", "0x7f000001": "machine_0x7f000001", "a.0": "machine_a.0",
		"LocalHost": "machine_LocalHost", "ip6-loopback": "machine_ip6-loopback", "x.localhost": "machine_x.localhost",
		"Ungrouped": "machine_Ungrouped", "a b": "machine_a_b", "": "machine_",
	} {
		if got := hostname(name); got != want {
			t.Errorf("hostname(%q) = %q, want %q", name, got, want)
		}
	}
}

// TestAnsibleReadsIt gives the inventory to Ansible, and has it use the hostile strings: it finds the same groups,
// warns of nothing, and runs none of them.
func TestAnsibleReadsIt(t *testing.T) {
	dir := t.TempDir()
	inv := forAnsible(room())
	b, err := json.Marshal(inv.list())
	if err != nil {
		t.Fatal(err)
	}
	owned := filepath.Join(dir, "owned")
	b = []byte(strings.ReplaceAll(string(b), "/tmp/owned", owned))
	script := filepath.Join(dir, "inventory")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ncat <<'END'\n"+string(b)+"\nEND\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), args[0], append(args[1:], "-i", script)...)
		cmd.Env = append(os.Environ(), "HOME="+dir, "ANSIBLE_NOCOLOR=1", "LC_ALL=C.UTF-8")
		var stdout, stderr strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %v (`make deps` installs Ansible)\n%s%s", args, err, &stdout, &stderr)
		}
		if stderr.Len() > 0 {
			t.Errorf("%v says %s", args, &stderr)
		}
		return stdout.String()
	}
	graph := run("ansible-inventory", "--graph")
	for group, hosts := range inv.groups {
		_, after, ok := strings.Cut(graph, "|--@"+group+":\n")
		for _, h := range hosts {
			if !ok || !strings.Contains(after, "--"+h+"\n") {
				t.Errorf("Ansible has no host %s in %s:\n%s", h, group, graph)
			}
		}
	}
	out := run("ansible", "lab-3", "-m", "debug", "-a", "msg={{ griddle_vendor }}/{{ griddle_serial }}")
	if !strings.Contains(out, "((") {
		t.Errorf("Ansible shows %s, want the strings with round brackets", out)
	}
	if _, err := os.Stat(owned); err == nil {
		t.Error("a string of a machine ran a program")
	}
}

// FuzzAnsible wants names that Ansible does not misread, and no template, whatever machines say.
func FuzzAnsible(f *testing.F) {
	f.Add("lab-1", "deployed", "web:1@amd64", "Acme")
	f.Add("localhost", hostile, "a/b.c", hostile)
	f.Fuzz(func(t *testing.T, name, status, image, vendor string) {
		a, b := machine(name, status, image, "10.0.0.1"), machine("other", status+"-", image+"x", "10.0.0.2")
		a.Identity.Vendor = vendor
		inv := forAnsible([]api.Machine{a, b})
		for host := range inv.vars {
			if !regexp.MustCompile(`^[A-Za-z0-9._-]+$`).MatchString(host) || slices.Contains(reserved, host) {
				t.Errorf("the machine %q has the name %q", name, host)
			}
		}
		for group := range inv.groups {
			if !regexp.MustCompile(`^griddle[A-Za-z0-9_]*$`).MatchString(group) || inv.vars[group] != nil {
				t.Errorf("%q, %q make the group %q", status, image, group)
			}
		}
		out, err := json.Marshal(inv.vars)
		if err != nil {
			t.Fatal(err)
		}
		var vars map[string]map[string]any
		if err := json.Unmarshal(out, &vars); err != nil {
			t.Fatal(err)
		}
		for _, v := range vars {
			for key, value := range v {
				if s, ok := value.(string); ok && strings.ContainsAny(s, "{}\x1b\n") {
					t.Errorf("%s is %q", key, s)
				}
			}
		}
	})
}
