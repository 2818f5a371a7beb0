package fleet

import (
	"testing"

	"griddle/appliance/job"
)

const (
	uuidA = "4c4c4544-0042-3510-8052-b4c04f4e4e32"
	uuidB = "4c4c4544-0042-3510-8052-b4c04f4e4e33"
	macA  = "52:54:00:00:00:0a"
	macB  = "52:54:00:00:00:0b"
)

func TestIs(t *testing.T) {
	id := func(uuid, serial string, macs ...string) job.Identity {
		return job.Identity{UUID: uuid, Serial: serial, MACs: macs}
	}
	for _, c := range []struct {
		name string
		have job.Identity
		says job.Identity
		want bool
	}{
		{"same address", id("", "", macA), id("", "", macA), true},
		{"address known, UUID new", id("", "", macA), id(uuidA, "", macA), true},
		{"one address of two", id(uuidA, "", macA, macB), id(uuidA, "", macB), true},
		{"docking station's address", id(uuidA, "", macA), id(uuidB, "", macA), false},
		{"cloned UUID", id(uuidA, "", macA), id(uuidA, "", macB), false},
		{"cloned UUID, empty serials", id(uuidA, "None", macA), id(uuidA, "None", macB), false},
		{"new network card", id(uuidA, "7XK2", macA), id(uuidA, "7XK2", macB), true},
		{"named by UUID", id(uuidA, ""), id(uuidA, "", macB), true},
		{"named by UUID in the other byte order", id(swapUUID(uuidA), ""), id(uuidA, "", macB), true},
		{"nothing in common", id("", "", macA), id("", "", macB), false},
		{"nothing at all", id("", ""), id("", ""), false},
	} {
		if got := (Machine{Identity: c.have}).is(c.says); got != c.want {
			t.Errorf("%s: is() = %v, want %v", c.name, got, c.want)
		}
	}
}

func TestHostname(t *testing.T) {
	id := job.Identity{Serial: "ABC 12/34", UUID: uuidA, MACs: []string{macA}}
	for _, c := range []struct {
		pattern string
		id      job.Identity
		want    string
	}{
		{"node-{mac}", id, "node-52540000000a"},
		{"{serial}", id, "abc1234"},
		{"rack-{n}", id, "rack-7"},
		{"x-{mac}", job.Identity{UUID: uuidA}, "x-b4c04f4e4e32"},
		{"{serial}", job.Identity{}, "node-7"},
		{"-\x1b[31m$(reboot)-", job.Identity{}, "31mreboot"},
	} {
		got := Hostname(c.pattern, c.id, 7)
		if got != c.want || !ValidHostname(got) {
			t.Errorf("Hostname(%q) = %q, want %q", c.pattern, got, c.want)
		}
	}
}

func TestValidHostname(t *testing.T) {
	for name, want := range map[string]bool{"web1": true, "web1.example.org": true, "": false, "-a": false, "a-": false,
		"a..b": false, "a b": false, "a_b": false, "é": false} {
		if got := ValidHostname(name); got != want {
			t.Errorf("ValidHostname(%q) = %v, want %v", name, got, want)
		}
	}
}
