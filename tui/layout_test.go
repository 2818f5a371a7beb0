package tui

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
)

const mib, gib = 1 << 20, 1 << 30

// shared is a machine of the lab whose agent carries out layouts: with a disk of Windows, one with the pool of an
// earlier install, and a blank one.
func shared() Found {
	l := lab()
	l.Layouts = true
	l.Inventory.Disks = []job.Disk{
		{Path: "/dev/nvme0n1", Model: "Samsung SSD 980 PRO 1TB", Serial: "S5GXNX0R", Bus: "nvme", Size: 1000204886016,
			SectorSize: 512, Table: "gpt", Partitions: []job.Partition{
				{Number: 1, Start: mib, Size: 100 * mib, Type: "EFI system", Filesystem: "vfat", Used: 40 * mib},
				{Number: 2, Start: 101 * mib, Size: 16 * mib, Type: "Microsoft reserved"},
				{Number: 3, Start: 117 * mib, Size: 930*gib + 100*mib, Type: "Microsoft basic data", Filesystem: "ntfs",
					Label: "Windows", Used: 150 * gib, Minimum: 160 * gib,
					System: "Windows 11 Pro 23H2, build 22631.3007, on LAB-07"},
				{Number: 4, Start: 930*gib + 217*mib, Size: 700 * mib, Type: "Windows recovery", Filesystem: "ntfs",
					Used: 500 * mib, Minimum: 500 * mib}}},
		{Path: "/dev/sda", Model: "WDC WD10EZEX", Serial: "WD-WCC6Y0", Bus: "sata", Size: 500107862016, SectorSize: 512,
			Table: "gpt", Installed: "j1", Partitions: []job.Partition{
				{Number: 1, Start: mib, Size: mib, Type: "BIOS boot"},
				{Number: 2, Start: 2 * mib, Size: 260 * mib, Type: "EFI system", Filesystem: "vfat", Used: 8 * mib},
				{Number: 3, Start: 262 * mib, Size: 400 * gib, Type: "Linux filesystem", Name: "griddle-pool",
					Filesystem: "btrfs", Label: "griddle", Used: 60 * gib, Minimum: 80 * gib}}},
		{Path: "/dev/vda", Serial: "blank-1", Bus: "virtio", Size: 20e9, SectorSize: 512, Sampled: job.Zeros},
	}
	return l
}

// evilShared has a disk whose labels and names harm a screen, and more partitions than a line has room for.
func evilShared() Found {
	l := shared()
	d := &l.Inventory.Disks[0]
	d.Model, d.Serial = "\u202egnp.exe"+strings.Repeat("漢", 50), "S\x00\x1b[31m1\xff"
	d.Partitions[2].Label, d.Partitions[2].Size = "\x1b[H\n"+strings.Repeat("漢", 30), 400*gib
	for i := range 60 {
		d.Partitions = append(d.Partitions, job.Partition{Number: 5 + i, Start: int64(931+i) * gib / 2, Size: gib / 4,
			Filesystem: "ext4", Label: fmt.Sprint("\x1b]0;owned\x07", i), Type: "Linux filesystem"})
	}
	d.Size *= 2
	return l
}

func TestLayoutFrames(t *testing.T) {
	fresh := New("1.0", false, Actions{})
	ways := press(t, send(fresh, shared()), "i", "enter", "enter")
	locked := shared()
	locked.Inventory.Disks[0].Partitions[2].Unfit = job.Hibernated
	two := shared()
	two.Inventory.Disks[0].Partitions[3] = job.Partition{Number: 4, Start: 930*gib + 217*mib, Size: gib,
		Type: "Linux filesystem", Filesystem: "ext4", Label: "debian", Used: 100 * mib, Minimum: 200 * mib}
	both := shared()
	both.Mirror = true
	mirror := press(t, send(fresh, both), "i", "enter", "enter", "end", "enter")
	begun := send(press(t, press(t, ways, "enter"), "enter", "i"), running()...)
	for _, f := range []struct {
		name string
		m    Model
	}{
		{"ways", ways},
		{"ways-refused", press(t, send(fresh, locked), "i", "enter", "enter", "up", "enter")},
		{"ways-pool", press(t, send(fresh, shared()), "i", "enter", "down", "enter")},
		{"ways-blank", press(t, send(fresh, shared()), "i", "enter", "end", "enter")},
		{"ways-hostile", press(t, send(fresh, evilShared()), "i", "enter", "enter")},
		{"which-smaller", press(t, send(fresh, two), "i", "enter", "enter", "enter")},
		{"which-lost", press(t, ways, "down", "enter")},
		{"amounts", press(t, ways, "enter")},
		{"plan-smaller", press(t, ways, "enter", "enter")},
		{"plan-smaller-end", press(t, ways, "enter", "enter", "end")},
		{"plan-smaller-enter", press(t, ways, "enter", "enter", "enter")},
		{"plan-one", press(t, ways, "down", "enter", "enter")},
		{"plan-whole", press(t, ways, "end", "enter", "n", "v", "m")},
		{"plan-pool", press(t, send(fresh, shared()), "i", "enter", "down", "enter", "enter")},
		{"which-mirror", mirror},
		{"plan-mirror", press(t, mirror, "enter", "n")},
		{"plan-blank", press(t, send(fresh, shared()), "i", "enter", "end", "enter", "enter")},
		{"plan-hostile", press(t, send(fresh, evilShared()), "i", "enter", "enter", "end", "enter")},
		{"progress-shared", begun},
		{"hook-shared", send(begun, joinFailed())},
	} {
		t.Run(f.name, func(t *testing.T) {
			golden(t, f.name, f.m)
		})
	}
}

// TestLayouts: without an agent that carries out layouts the whole disk is all that is offered, as it always was; with
// one, what is handed over is a layout and the hash of the plan that the page showed.
func TestLayouts(t *testing.T) {
	var got []job.Choice
	fresh := New("1.0", false, Actions{Choose: func(c job.Choice) { got = append(got, c) }})
	without := shared()
	without.Layouts = false
	m := press(t, send(fresh, without), "i", "enter", "enter")
	if view := m.View(); strings.Contains(view, "Free space") || !strings.Contains(view, "> Whole disk: create") {
		t.Errorf("an agent without layouts offers:\n%s", view)
	}
	m = press(t, m, "down", "enter", "i", "enter")
	press(t, press(t, press(t, m, "ctrl+u"), strings.Split("nvme0n1", "")...), "enter")
	if len(got) != 1 || got[0].Layout != nil || got[0].Plan != "" || got[0].Disk != "serial:S5GXNX0R" ||
		got[0].Erase != "S5GXNX0R" {
		t.Fatalf("without layouts %+v was chosen", got)
	}
	for _, c := range []struct {
		name string
		keys []string
		use  string // the layout has it
	}{
		{"smaller", []string{"i", "enter", "enter", "enter", "enter", "i"}, `"shrink":{"to":"`},
		{"one partition", append([]string{"i", "enter", "enter", "down", "enter", "enter"}, typed("nvme0n1")...),
			`"wipe":true`},
		{"whole disk", append([]string{"i", "enter", "enter", "end", "enter"}, typed("S5GXNX0R")...), `"wipe":true`},
		{"pool", []string{"i", "enter", "down", "enter", "enter", "i"}, `"keep":true`},
		{"blank", append([]string{"i", "enter", "end", "enter", "enter"}, typed("vda")...), `"blank":true`},
	} {
		got = nil
		m := press(t, send(fresh, shared()), c.keys...)
		if len(got) != 1 || m.page != pageProgress {
			t.Errorf("%s: %+v was chosen, on the page\n%s", c.name, got, m.View())
			continue
		}
		var doc layout.Document
		if err := json.Unmarshal(got[0].Layout, &doc); err != nil {
			t.Fatal(err)
		}
		p, err := plan.Make(plan.Input{Layout: doc, Disks: shared().Inventory.Disks})
		if err != nil || p.Hash != got[0].Plan || got[0].Disk != "" || got[0].Erase != "" ||
			got[0].Image != "web:20261121.2@amd64" || !strings.Contains(string(got[0].Layout), c.use) {
			t.Errorf("%s: %+v was chosen with the layout %s; its plan is %s, %v", c.name, got[0], got[0].Layout, p.Hash,
				err)
		}
	}
}

// TestSharedJob: a job of the server with a layout says where it goes, and one that continues what it leaves.
func TestSharedJob(t *testing.T) {
	fresh := New("1.0", false, Actions{})
	f := shared()
	f.Welcome.Job = &job.Spec{Layout: json.RawMessage(`{"version":1}`), Image: job.Image{Ref: "web:1@amd64"}}
	if view := send(fresh, f).View(); !strings.Contains(view, "as the layout of the job says") {
		t.Errorf("the disk of a job with a layout is\n%s", view)
	}
	for _, beside := range []bool{false, true} {
		begun := shared()
		begun.Inventory.Disks[0].Unfinished = "j1"
		if beside {
			begun.Inventory.Disks[0].Partitions[2].Unfinished = "j1"
		}
		begun.Welcome.Unfinished = []job.Unfinished{{Job: "j1", Image: "web:1@amd64"}}
		m := send(press(t, send(fresh, begun), "c"), running()...)
		view := strings.Join(strings.Fields(m.View()), " ")
		if strings.Contains(view, "What the plan keeps stays.") != beside ||
			strings.Contains(view, "Its old content is lost.") == beside {
			t.Errorf("an install that continues shows\n%s", view)
		}
	}
}

// typed are the keys that type a name, and Enter.
func typed(name string) []string { return append(strings.Split(name, ""), "enter") }

// TestMirror: a mirror is confirmed by the names of both disks, in any order, and by nothing less.
func TestMirror(t *testing.T) {
	both := shared()
	both.Mirror = true
	for names, want := range map[string]bool{"nvme0n1 sda": true, "sda  S5GXNX0R": true, "/dev/sda /dev/nvme0n1": true,
		"WD-WCC6Y0 nvme0n1": true, "nvme0n1": false, "sda": false, "nvme0n1 nvme0n1": false, "sda vda": false,
		"nvme0n1 sda vda": false, "nvme0n1sda": false, "nvme0n1 S5GXNX0R": false, "": false} {
		var got []job.Choice
		m := send(New("1.0", false, Actions{Choose: func(c job.Choice) { got = append(got, c) }}), both)
		m = press(t, m, "i", "enter", "enter", "end", "enter", "enter")
		for _, r := range names {
			m = press(t, m, string(r))
		}
		if m = press(t, m, "enter"); (len(got) == 1) != want || want != (m.page == pageProgress) {
			t.Errorf("%q: chosen %+v, want %v, on the page\n%s", names, got, want, m.View())
			continue
		}
		if want && (!strings.Contains(m.View(), "mirror of /dev/nvme0n1 and /dev/sda") || got[0].Plan == "" ||
			!strings.Contains(string(got[0].Layout), `"second"`)) {
			t.Errorf("%q: %+v was chosen, on the page\n%s", names, got[0], m.View())
		}
	}
}

// TestNotConfirmed: no key but the one that the page names starts an install, and without a link none does.
func TestNotConfirmed(t *testing.T) {
	chosen := 0
	fresh := New("1.0", false, Actions{Choose: func(job.Choice) { chosen++ }})
	safe := press(t, send(fresh, shared()), "i", "enter", "enter", "enter", "enter")
	lossy := press(t, send(fresh, shared()), "i", "enter", "enter", "end", "enter")
	for _, m := range []Model{
		press(t, safe, "enter", "x", "y", "I", "down", "tab", "end"),
		press(t, lossy, "i", "enter"),
		press(t, lossy, typed("vda")...),
		press(t, lossy, typed("S5GX")...),
		press(t, send(safe, noLink()), "i"),
		press(t, send(lossy, noLink()), typed("nvme0n1")...),
	} {
		if chosen != 0 || m.page != pageConfirm {
			t.Fatalf("%d choices from the page\n%s", chosen, m.View())
		}
	}
	// What the disk does not offer is not chosen either.
	refused := press(t, send(fresh, shared()), "i", "enter", "enter", "home", "enter")
	if refused.page != pageMethod || !strings.Contains(refused.View(), "This disk does not offer that") {
		t.Errorf("a way that the disk does not offer leads to\n%s", refused.View())
	}
}

// TestEscOnWays: Esc goes back page by page, to what was chosen on each.
func TestEscOnWays(t *testing.T) {
	m := press(t, send(New("1.0", false, Actions{}), shared()), "i", "enter", "enter", "enter", "home", "enter")
	var pages []string
	for range 5 {
		view := m.View()
		for line := range strings.Lines(view) {
			if rest, is := strings.CutPrefix(strings.TrimLeft(line, "│ "), "> "); is {
				pages = append(pages, strings.Join(strings.Fields(rest)[:2], " "))
			}
		}
		m = press(t, m, "esc")
	}
	if got, want := strings.Join(pages, ", "), "2.15 GB,, Beside another, /dev/nvme0n1 1.00, web:20261121.2@amd64 "+
		"301"; got != want || m.page != pageWelcome {
		t.Errorf("Esc went over %q to page %d, want %q", got, m.page, want)
	}
}
