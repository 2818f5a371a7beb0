package ntfs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// info is what ntfsresize 2022.10.3 prints with --info.
const info = `ntfsresize v2022.10.3 (libntfs-3g)
Device name        : /dev/loop1
NTFS volume version: 3.1
Cluster size       : 4096 bytes
Current volume size: 4294963712 bytes (4295 MB)
Current device size: 4294967296 bytes (4295 MB)
Checking filesystem consistency ...
Accounting clusters ...
Space in use       : 1164 MB (27.1%)
Collecting resizing constraints ...
You might resize at 1163304960 bytes or 1164 MB (freeing 3131 MB).
Please make a test run using both the -n and -s options before real resizing!
`

const bad = `ERROR: This software has detected that the disk has at least 3 bad sectors.
****************************************************************************
* WARNING: The disk has bad sectors. This means physical damage on the disk *
`

func TestParse(t *testing.T) {
	known := report{cluster: 4096, volume: 4294963712, device: 4294967296, used: 1164e6, minimum: 1163304960}
	moving := known
	moving.minimum, moving.new, moving.relocations, moving.dryRun = 0, 1610609152, 162238, true
	for _, c := range []struct {
		name, in string
		want     report
		bad      string
	}{
		{"info", info, known, ""},
		{"terminal", strings.ReplaceAll(info, "\n", "\r\n"), known, ""},
		{"dry run", strings.Replace(info, "You might resize at 1163304960 bytes", "", 1) +
			"New volume size    : 1610609152 bytes (1611 MB)\nNeeded relocations : 162238 (665 MB)\n" +
			textDryRun + "\n", moving, ""},
		{"nothing to do", textNothing + "\n", report{nothing: true}, ""},
		{"nothing at all", "", report{}, ""},
		{"no number", strings.Replace(info, "4096 bytes", "many bytes", 1), report{},
			`"Cluster size : many bytes" has no number where one is expected`},
		{"negative", strings.Replace(info, ": 4096", ": -4096", 1), report{},
			`"Cluster size : -4096 bytes" has no number where one is expected`},
		{"too large", strings.Replace(info, ": 1164 MB", ": 4611686018427387 MB", 1), report{},
			`"Space in use : 4611686018427387 MB (27.1%)" has no number where one is expected`},
		{"cut", "Current volume size: 42949", report{},
			`"Current volume size: 42949" has no number where one is expected`},
		{"twice", info + "Cluster size       : 512 bytes\n", report{}, `it says "Cluster size" twice`},
		{"error", "ERROR: Volume is scheduled for check.\nRun chkdsk /f and please try again, or see option -f.\n",
			report{failure: "ERROR: Volume is scheduled for check. Run chkdsk /f and please try again, or see " +
				"option -f."}, ""},
		{"control characters", "ERROR: \x1b[2Jgone\x00 \xff\n", report{failure: "ERROR: [2Jgone"}, ""},
		{"inconsistent", "Filesystem check failed! Totally 5 cluster accounting mismatches.\nERROR: " + textDamaged +
			"Run chkdsk /f\n", report{failure: "ERROR: NTFS is inconsistent. Run chkdsk /f", damaged: true}, ""},
	} {
		got, err := parse([]byte(c.in))
		if c.bad != "" {
			if err == nil || err.Error() != c.bad {
				t.Errorf("%s: parse = %v, want %s", c.name, err, c.bad)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s: parse = %+v, %v\nwant %+v", c.name, got, err, c.want)
		}
	}
}

func TestSizesOfReport(t *testing.T) {
	r, err := parse([]byte(info))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.sizes(4096, 1048575, 512); err != nil {
		t.Errorf("sizes = %v", err)
	}
	for _, c := range []struct {
		cluster  int
		clusters int64
		sector   int
		want     string
	}{
		{512, 1048575, 512, "its clusters have 4096 bytes, those of the boot sector 512"},
		{4096, 1048574, 512, "its volume has 4294963712 bytes, that of the boot sector 1048574 clusters of 4096"},
	} {
		if err := r.sizes(c.cluster, c.clusters, c.sector); err == nil || !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("sizes = %v, want %s", err, c.want)
		}
	}
	if err := (report{}).sizes(4096, 1, 512); err == nil || !strings.HasSuffix(err.Error(), "the sizes are missing") {
		t.Errorf("sizes of nothing = %v", err)
	}
}

func TestUnderstand(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Reason
	}{
		{"ERROR: Volume is scheduled for check.\n", Dirty},
		{bad, BadSectors},
		{"ERROR: Volume is full. To shrink it, delete unused files.\n", TooSmall},
		{"ERROR: " + textTooSmall + "\n", TooSmall},
		{"ERROR: Device '/dev/sda1' is mounted read-write. You must 'umount' it first.\n", InUse},
		{"ERROR: " + textDamaged + "\n", Damaged},
		{"ERROR(5): Opening '/dev/sda1' as NTFS failed: Input/output error\n", Damaged},
	} {
		r, err := parse([]byte(c.in))
		if err != nil {
			t.Fatal(err)
		}
		if got := understand(r.failure); got.Reason != c.want || got.Why == "" || got.Do == "" {
			t.Errorf("understand(%q) = %+v, want %s", r.failure, got, c.want)
		}
	}
	for answer, want := range map[int]Reason{probeNotNTFS: Damaged, probeDamaged: Damaged, probeHibernated: Hibernated,
		probeUnclean: Unclean, probeInUse: InUse, 18: Damaged, -1: Damaged} {
		if r, ok := probed(answer); ok || r.Reason != want || r.Do == "" {
			t.Errorf("probed(%d) = %+v, %v", answer, r, ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{info, bad, textNothing, textDryRun, "ERROR", "Needed relocations : 1 ("} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parse(b)
		for _, n := range []int64{r.cluster, r.volume, r.device, r.new, r.used, r.minimum, r.relocations} {
			if n < 0 {
				t.Errorf("parse = %+v, %v", r, err)
			}
		}
		if r.failure != plain(r.failure) {
			t.Errorf("the failure %q is not plain", r.failure)
		}
		_ = understand(r.failure).Error()
	})
}

// screen is what ntfsresize prints to a terminal.
const screen = "ntfsresize v2022.10.3 (libntfs-3g)\r\n" +
	"Checking filesystem consistency ...\r\n" +
	"  0.00 percent completed\r 37.74 percent completed\r100.00 percent completed\r\n" +
	"Relocating needed data ...\r\n" +
	" 50.00 percent completed\r100.00 percent completed\r\n" +
	"Syncing device ...\r\n" +
	"Successfully resized NTFS on device '/dev/loop1'.\r\n"

func TestScroll(t *testing.T) {
	var got []string
	s := &scroll{kept: output{left: maxOutput}, report: func(p Progress) {
		got = append(got, fmt.Sprintf("%s %.2f", p.Phase, p.Percent))
	}}
	for _, c := range []byte(screen) { // in the smallest parts
		_, _ = s.Write([]byte{c})
	}
	want := []string{"checking the volume 0.00", "checking the volume 0.00", "checking the volume 37.74",
		"checking the volume 100.00", "moving data 0.00", "moving data 50.00", "moving data 100.00", "writing 0.00"}
	if !slices.Equal(got, want) || !s.done {
		t.Errorf("progress %q, done %v", got, s.done)
	}
}

func FuzzScroll(f *testing.F) {
	f.Add([]byte(screen))
	f.Add([]byte("Relocating needed data ...\r\nNaN percent completed\r-1 percent completed\r1e9 percent completed\r"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &scroll{kept: output{left: maxOutput}, report: func(p Progress) {
			if !(p.Percent >= 0 && p.Percent <= 100) || p.Phase == "" {
				t.Errorf("%+v", p)
			}
		}}
		_, _ = s.Write(b)
		if len(s.line) > maxLine || s.kept.Len() > maxOutput {
			t.Errorf("it keeps %d and %d bytes", len(s.line), s.kept.Len())
		}
	})
}
