package pool

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/table"
	"griddle/initramfs/pool/pooltest"
)

// sharedDisk is a disk of 600 MiB with these partitions in the words of sfdisk, of which the one with this number is a
// finished pool. Numbers of others with btrfs get a finished mark of another job.
func sharedDisk(t *testing.T, script string, pool int, others ...int) string {
	t.Helper()
	const size = 600 << 20
	dev := loop(t, size)
	cmd := exec.Command("sfdisk", "--no-reread", "--quiet", dev)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v: %s", err, out)
	}
	f, err := disk.Claim(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { f.Close() }()
	c, err := content.Inspect(f, size, 512)
	if err != nil {
		t.Fatal(err)
	}
	var parts []table.Part
	for _, p := range c.Partitions {
		if p.Type == "extended" { // the kernel shows it with 1 KiB
			continue
		}
		parts = append(parts, table.Part{Number: p.Number, Start: p.Start, Size: p.Size})
	}
	if err := table.Announce(f, "/sys", parts); err != nil {
		t.Fatal(err)
	}
	for i, n := range append([]int{pool}, others...) {
		id := pooltest.Job
		if i > 0 {
			id = "0" + id[1:]
		}
		node, err := disk.Node(dev, "/sys", n)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil { // mkfs.btrfs claims its partition
			t.Fatal(err)
		}
		tool(t, "mkfs.btrfs", "--quiet", "--force", node)
		if f, err = disk.Claim(dev); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(table.Begin(f, size, 512, n, id), table.Mark(f, size, 512, id)); err != nil {
			t.Fatal(err)
		}
	}
	return dev
}

func label(t *testing.T, node, with string) {
	t.Helper()
	tool(t, "mkfs.vfat", "-F", "32", "-n", with, node)
}

// On a disk that others share each partition is found by what it is, whatever its number.
func TestOnShared(t *testing.T) {
	own := job.ESPLabel(pooltest.Job)
	const gpt = "label: gpt\n"
	const esp, bios, linux = "type=U", "type=21686148-6449-6E6F-744E-656564454649", "type=L"
	for _, c := range []struct {
		name   string
		script string
		pool   int
		labels map[int]string // of EFI system partitions
		esp    int
		shared bool
		bios   Extent
	}{
		{"GPT", gpt + "2: size=64MiB, " + esp + "\n5: size=1MiB, " + bios + "\n7: size=128MiB, " + linux + "\n", 7,
			map[int]string{2: "SYSTEM"}, 2, true, Extent{65 << 20, 1 << 20}},
		{"own ESP, no BIOS boot", gpt + "9: size=128MiB, " + linux + "\n1: size=64MiB, " + esp + "\n", 9,
			map[int]string{1: own}, 1, false, Extent{}},
		{"ESP of an earlier install", gpt + "1: size=128MiB, " + linux + "\n2: size=64MiB, " + esp + "\n", 1,
			map[int]string{2: "GR-01234567"}, 2, true, Extent{}},
		{"two ESPs, one with the label", gpt + "1: size=64MiB, " + esp + "\n2: size=64MiB, " + esp +
			"\n3: size=128MiB, " + linux + "\n", 3, map[int]string{1: "SYSTEM", 2: own}, 2, false, Extent{}},
		{"two ESPs, one with the name", gpt + "1: size=64MiB, " + esp + "\n2: size=64MiB, " + esp +
			", name=griddle-esp\n3: size=128MiB, " + linux + "\n", 3, map[int]string{1: "SYSTEM", 2: "X"}, 2, true,
			Extent{}},
		{"MBR", "label: dos\n1: start=2048, size=64MiB, type=ef\n2: size=64MiB, type=7\n3: size=128MiB, type=83\n", 3,
			map[int]string{1: "SYSTEM"}, 1, true, Extent{512, 1<<20 - 512}},
		{"old MBR, logical", "label: dos\n1: start=63, size=64MiB, type=ef\n4: start=200000, size=300MiB, type=5\n" +
			"5: start=202048, size=128MiB, type=83\n", 5, map[int]string{1: own}, 1, false, Extent{512, 62 * 512}},
	} {
		dev := sharedDisk(t, c.script, c.pool)
		for n, with := range c.labels {
			label(t, fmt.Sprintf("%sp%d", dev, n), with)
		}
		p, err := On(dev)
		if err != nil || p.Job != pooltest.Job || p.Pool != fmt.Sprintf("%sp%d", dev, c.pool) ||
			p.ESP != fmt.Sprintf("%sp%d", dev, c.esp) || (p.ESPID != "") != c.shared || !p.Shared ||
			p.BIOS != c.bios || p.noESP != nil {
			t.Errorf("%s: On = %+v, %v", c.name, p, err)
		}
		if !slices.ContainsFunc(All(), func(p Place) bool { return p.Disk == dev }) {
			t.Errorf("%s: All has not %s", c.name, dev)
		}
	}
}

// What cannot be known is not guessed.
func TestOnUnclear(t *testing.T) {
	const two = "label: gpt\n1: size=128MiB, type=L\n2: size=128MiB, type=L\n"
	dev := sharedDisk(t, two, 1, 2)
	if p, err := On(dev); err == nil || errors.Is(err, ErrNone) ||
		!strings.Contains(err.Error(), "partitions 1 and 2") {
		t.Errorf("On with two pools = %+v, %v", p, err)
	}
	if p, err := on(dev, "2"); err != nil || p.Pool != dev+"p2" || p.Job == pooltest.Job {
		t.Errorf("on, for a system that runs from the second one = %+v, %v", p, err)
	}
	if p, err := on(dev, "3"); !errors.Is(err, ErrNone) {
		t.Errorf("on, for a system that runs from neither = %+v, %v", p, err)
	}
	p, err := on(dev, "1")
	if err != nil || p.ESP != "" {
		t.Fatalf("without an EFI system partition = %+v, %v", p, err)
	}
	opened, err := Open(p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := opened.ESP(); err == nil || !strings.Contains(err.Error(), "the disk has none") {
		t.Errorf("ESP = %v", err)
	}
	if err := opened.Close(); err != nil {
		t.Fatal(err)
	}

	id := strings.TrimSpace(tool(t, "blkid", "-p", "-o", "value", "-s", "UUID", dev+"p1"))
	configs := func(ids ...string) func(string) (string, error) {
		return func(esp string) (string, error) {
			if id := ids[esp[0]-'a']; id != "" {
				return id, nil
			}
			return "", errors.New("it cannot be mounted")
		}
	}
	for _, c := range []struct {
		ids  []string
		want int // -1 is an error
	}{{[]string{"", id}, 1}, {[]string{id, id}, 0}, {[]string{"other", "", id}, 2}, {[]string{"", "other"}, -1},
		{nil, -1}} {
		var esps []string
		for i := range c.ids {
			esps = append(esps, string(rune('a'+i)))
		}
		got, err := ours(filesystemOf(dev+"p1", content.Pool{}), esps, configs(c.ids...))
		if err != nil {
			got = -1
		}
		if got != c.want {
			t.Errorf("of partitions with the pools %q it is %d, %v, want %d", c.ids, got, err, c.want)
		}
	}
}
