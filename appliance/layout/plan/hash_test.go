package plan

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// TestHash has the facts that count, and those that do not.
func TestHash(t *testing.T) {
	doc := shrinking(layout.Shrink{To: size(300 * gib)})
	hash := func(change func(d *job.Disk)) string {
		d := windows()
		change(&d)
		return planned(t, doc, d).Hash
	}
	first := hash(func(*job.Disk) {})
	if !strings.HasPrefix(first, "sha256:") || len(first) != 7+64 {
		t.Errorf("the hash is %q", first)
	}
	for name, change := range map[string]func(d *job.Disk){
		"path":    func(d *job.Disk) { d.Path = "/dev/nvme1n1" },
		"model":   func(d *job.Disk) { d.Model = "x" },
		"bus":     func(d *job.Disk) { d.Bus = "sata" },
		"place":   func(d *job.Disk) { d.Place = "pci" },
		"sample":  func(d *job.Disk) { d.Sampled = "x" },
		"used":    func(d *job.Disk) { d.Partitions[0].Used++; d.Partitions[2].Used++ },
		"minimum": func(d *job.Disk) { d.Partitions[2].Minimum += 4096 },
		"order":   func(d *job.Disk) { p := d.Partitions; p[0], p[3] = p[3], p[0] },
	} {
		if hash(change) != first {
			t.Errorf("the hash is another one with another %s", name)
		}
	}
	for name, change := range map[string]func(d *job.Disk){
		"serial":      func(d *job.Disk) { d.Serial = "S2" },
		"WWN":         func(d *job.Disk) { d.WWN = "eui.1" },
		"size":        func(d *job.Disk) { d.Size += 512 },
		"table":       func(d *job.Disk) { d.TableID = "x" },
		"start":       func(d *job.Disk) { d.Partitions[1].Start += 512; d.Partitions[1].Size -= 512 },
		"length":      func(d *job.Disk) { d.Partitions[3].Size -= 512 },
		"type":        func(d *job.Disk) { d.Partitions[1].Type = "x" },
		"name":        func(d *job.Disk) { d.Partitions[1].Name = "x" },
		"number":      func(d *job.Disk) { d.Partitions[1].Number = 12 },
		"filesystem":  func(d *job.Disk) { d.Partitions[1].Filesystem = "x" },
		"label":       func(d *job.Disk) { d.Partitions[0].Label = "x" },
		"UUID":        func(d *job.Disk) { d.Partitions[0].UUID = "x" },
		"partition":   func(d *job.Disk) { d.Partitions = d.Partitions[:3] },
		"place alone": func(d *job.Disk) { d.Serial, d.Place = "", "pci" },
	} {
		if hash(change) == first {
			t.Errorf("the hash is the same with another %s", name)
		}
	}
	doc = shrinking(layout.Shrink{To: size(299 * gib)})
	if hash(func(*job.Disk) {}) == first {
		t.Error("the hash is the same for another layout")
	}
	// As JSON a plan is whole.
	p := planned(t, doc, windows())
	b, err := json.Marshal(p)
	var again Plan
	if err != nil || json.Unmarshal(b, &again) != nil || !reflect.DeepEqual(p, again) || again.Verify() != nil {
		t.Errorf("as JSON the plan is %s, %v, and Verify() = %v", b, err, again.Verify())
	}
	for want, change := range map[string]func(p *Plan){
		"version 7":                    func(p *Plan) { p.Version = 7 },
		"its hash is not that of its ": func(p *Plan) { p.Steps = p.Steps[1:] },
		"partition 1 would change":     func(p *Plan) { p.Disks[0].After[0].Size--; p.Hash = p.hash() },
	} {
		broken := planned(t, doc, windows())
		change(&broken)
		if err := broken.Verify(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Verify() = %v, want %q", err, want)
		}
	}
}

var update = flag.Bool("update", false, "write testdata again")

// TestText draws plans as people see them.
func TestText(t *testing.T) {
	second := blank(2000e9, 4096)
	second.Path, second.Serial, second.Bus = "/dev/sda", "W1", "sata"
	two := shrinking(layout.Shrink{By: size(60 * gib)})
	two.Disks[0].Match = job.Match{Transport: "nvme"}
	two.Disks = append(two.Disks, layout.Disk{ID: "people", Match: job.Match{Transport: "sata"},
		Partitions: []layout.Partition{{ID: "home", Use: layout.Home, Size: rest}}})
	for name, p := range map[string]Plan{
		"beside.txt": planned(t, two, windows(), second),
		"whole.txt":  planned(t, form(layout.Form{Layout: layout.WholeDisk, Wipe: true}), windows()),
		"kept.txt": planned(t, of(layout.Partition{ID: "esp", Use: layout.ESP, Keep: true},
			layout.Partition{ID: "pool", Use: layout.Pool, Match: &layout.Which{Number: 3}, Wipe: true}), windows()),
		"luks.txt":    planned(t, of(esp, pool, encrypted()), blank(20*gib, 512)),
		"mirror.txt":  planned(t, mirror(), windows(), second),
		"logical.txt": planned(t, form(layout.Form{Layout: layout.FreeSpace}), old()),
		"volumes.txt": planned(t, volumes(), twoBlank()...),
	} {
		for _, width := range []int{80, 20} {
			for _, line := range strings.Split(p.Text(width), "\n") {
				if strings.HasPrefix(line, "  today") && width == 80 && len([]rune(line)) != width {
					t.Errorf("%s: a bar has %d columns: %s", name, len([]rune(line)), line)
				}
			}
		}
		file := filepath.Join("testdata", name)
		got := p.Text(80)
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(file); err != nil || string(want) != got {
			t.Errorf("%s: %v; the plan is\n%s", name, err, got)
		}
	}
}
