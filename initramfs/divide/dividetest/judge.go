package dividetest

import (
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/disk/disktest"
)

// listing is what sfdisk says of a disk.
type listing struct {
	head  string         // kind and ID
	slots int            // entries of a GPT
	lines map[int]string // of the partitions: all that it says but where their device files are
	clean bool           // sfdisk and sgdisk find nothing wrong
}

var line = regexp.MustCompile(`^/dev/loop\d+p(\d+) : (.*)$`)

func readTable(t testing.TB, d *Disk) listing {
	t.Helper()
	out := listing{lines: map[int]string{}, slots: 128, clean: true}
	for text := range strings.Lines(disktest.Tool(t, "sfdisk", "--dump", d.Dev)) {
		text = strings.TrimSpace(text)
		key, value, _ := strings.Cut(text, ": ")
		switch m := line.FindStringSubmatch(text); {
		case m != nil:
			n, _ := strconv.Atoi(m[1])
			out.lines[n] = m[2]
		case key == "label" || key == "label-id" || key == "first-lba" || key == "last-lba":
			out.head += text + "\n"
		case key == "table-length":
			out.slots, _ = strconv.Atoi(value)
		}
	}
	if err := exec.Command("sfdisk", "--verify", "--quiet", d.Dev).Run(); err != nil {
		out.clean = false
	}
	if strings.Contains(out.head, "label: gpt") {
		b, err := exec.Command("sgdisk", "--verify", d.Dev).CombinedOutput()
		out.clean = out.clean && err == nil && strings.Contains(string(b), "No problems found")
	}
	return out
}

// identified is what blkid says of a partition.
func identified(t testing.TB, node string) string {
	t.Helper()
	out, err := exec.Command("blkid", "--probe", "--output", "export", "--match-tag", "TYPE", "--match-tag", "LABEL",
		"--match-tag", "UUID", node).Output()
	if exit, is := err.(*exec.ExitError); is && exit.ExitCode() != 2 { //nolint:errorlint // 2: nothing was found
		t.Fatalf("blkid %s: %v", node, err)
	}
	_, rest, _ := strings.Cut(string(out), "\n") // the first line is the name of the device
	return rest
}

// types are those of the partitions that are made, by use.
var types = map[string]sort{layout.ESP: ESP.of(), layout.BIOS: BIOS.of(), layout.Pool: Ext4.of(),
	layout.Data: Ext4.of(), layout.Home: Ext4.of(), layout.Swap: Swap.of()}

// Done fails if a disk has anything but what the plan says, or an entry or a filesystem that stays has changed.
func (w *Watched) Done(t testing.TB) {
	t.Helper()
	w.Outside(t)
	for _, d := range w.disks {
		planned, ok := w.planned(d)
		if !ok {
			continue
		}
		was, now := w.was[d.Serial], readTable(t, d)
		fresh := w.asked.Wiped[d.Serial] || d.Table == ""
		if !now.clean && (fresh || was.table.clean) {
			t.Errorf("sfdisk or sgdisk finds something wrong with the table of %s", d.Serial)
		}
		if !fresh && now.head != was.table.head {
			t.Errorf("the table of %s was\n%sand is\n%s", d.Serial, was.table.head, now.head)
		}
		if len(now.lines) != len(planned.After) {
			t.Errorf("%s has the entries %v, and the plan has %d", d.Serial, now.lines, len(planned.After))
		}
		for _, p := range planned.After {
			w.part(t, d, p, was, now, fresh)
		}
	}
}

// part judges one partition of tomorrow.
func (w *Watched) part(t testing.TB, d *Disk, p plan.Part, was before, now listing, fresh bool) {
	t.Helper()
	sector := int64(d.Sector)
	have := now.lines[p.Number]
	place := fmt.Sprintf("start=%12d, size=%12d, ", p.Start/sector, p.Size/sector)
	if !strings.HasPrefix(have, place) {
		t.Errorf("partition %d of %s is %q, and should be %q", p.Number, d.Serial, have, place)
	}
	old, there := was.table.lines[p.Number]
	asked := w.asked.Parts[d.Serial][p.Number]
	if p.Fate == plan.Extended {
		if have != old {
			t.Errorf("entry %d of %s was %q, and is %q", p.Number, d.Serial, old, have)
		}
		return
	}
	node := d.node(t, p.Number)
	switch p.Fate {
	case plan.Stays:
		if fresh || have != old {
			t.Errorf("entry %d of %s was %q, and is %q", p.Number, d.Serial, old, have)
		}
		if now := identified(t, node); now != was.ids[p.Number] {
			t.Errorf("blkid knew partition %d of %s as\n%sand knows\n%s", p.Number, d.Serial, was.ids[p.Number], now)
		}
	case plan.Shrunk:
		if _, o, _ := strings.Cut(old, ", size="); asked != plan.Shrunk || !there ||
			afterSize(o) != afterSize(strings.TrimPrefix(have, strings.Split(place, "size=")[0]+"size=")) {
			t.Errorf("entry %d of %s was %q, and is %q; the layout asks for %q", p.Number, d.Serial, old, have, asked)
		}
		if now := identified(t, node); now != was.ids[p.Number] {
			t.Errorf("blkid knew partition %d of %s as\n%sand knows\n%s", p.Number, d.Serial, was.ids[p.Number], now)
		}
		w.shrunk(t, d, p, node)
	case plan.Emptied:
		// An attribute that only the former type explains is gone with that.
		attrs := field(old, "type") != field(have, "type") && field(have, "attrs") == "" ||
			field(old, "attrs") == field(have, "attrs")
		if asked != plan.Emptied || !there || !strings.HasPrefix(old, place) || !attrs ||
			field(old, "uuid") != field(have, "uuid") {
			t.Errorf("entry %d of %s was %q, and is %q; the layout asks for %q", p.Number, d.Serial, old, have, asked)
		}
		made(t, d, p, node, have)
	case plan.Made:
		if there && !fresh {
			t.Errorf("partition %d of %s is made, and was there: %q", p.Number, d.Serial, old)
		}
		made(t, d, p, node, have)
	default:
		t.Errorf("partition %d of %s is %s", p.Number, d.Serial, p.Fate)
	}
}

// afterSize is what follows a size in a line of sfdisk.
func afterSize(text string) string {
	_, rest, _ := strings.Cut(text, ", ")
	return rest
}

// field is one value of a line of sfdisk.
func field(text, key string) string {
	_, rest, found := strings.Cut(text, key+"=")
	if !found {
		return ""
	}
	value, _, _ := strings.Cut(rest, ",")
	return value
}

// made judges a partition that has a new filesystem, or nothing.
func made(t testing.TB, d *Disk, p plan.Part, node, have string) {
	t.Helper()
	kind := types[p.Use].mbr
	if strings.Contains(have, "uuid=") {
		kind = types[p.Use].gpt
	}
	if got := field(have, "type"); got != kind && p.Number <= 4 {
		t.Errorf("partition %d of %s has the type %s, want %s", p.Number, d.Serial, got, kind)
	}
	if p.Filesystem == "" {
		if out := disktest.Tool(t, "wipefs", "--no-act", node); out != "" {
			t.Errorf("wipefs finds in partition %d of %s: %s", p.Number, d.Serial, out)
		}
		return
	}
	if got := identified(t, node); !strings.Contains(got, "TYPE="+p.Filesystem+"\n") {
		t.Errorf("blkid knows partition %d of %s as\n%s, and it should be %s", p.Number, d.Serial, got, p.Filesystem)
	}
	if n := strings.Count(disktest.Tool(t, "wipefs", "--no-act", "--noheadings", "--output", "TYPE", node),
		p.Filesystem); n == 0 || strings.Count(strings.TrimSpace(disktest.Tool(t, "wipefs", "--no-act", "--noheadings",
		"--output", "TYPE", node)), "\n")+1 != n {
		t.Errorf("wipefs finds in partition %d of %s something else too:\n%s", p.Number, d.Serial,
			disktest.Tool(t, "wipefs", "--no-act", node))
	}
}

// shrunk judges a filesystem that was shrunk: its files are the same, and its own program finds nothing wrong.
func (w *Watched) shrunk(t testing.TB, d *Disk, p plan.Part, node string) {
	t.Helper()
	for _, q := range d.Parts {
		if q.Number != p.Number {
			continue
		}
		if before, now := w.was[d.Serial].files[p.Number], tree(t, node, q.Kind); !maps.Equal(before, now) {
			t.Errorf("partition %d of %s had the files\n%v\nand has\n%v", p.Number, d.Serial, before, now)
		}
		switch q.Kind {
		case NTFS, Recovery:
			disktest.Tool(t, "ntfsresize", "--info", "--force", "--no-progress-bar", node)
		case Btrfs:
			disktest.Tool(t, "btrfs", "check", "--readonly", node)
		default:
			disktest.Tool(t, "e2fsck", "-fn", node)
		}
	}
}
