package kmod

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestModuleOptions(t *testing.T) {
	o := parseModuleOptions(`quiet console=ttyS0,115200 nvme-core.io_timeout=600 nvme_core.multipath=N "i915.x=a b" ` +
		"ath9k.nohwcrypt modprobe.blacklist=nouveau,snd-hda-intel .x=1 y.=2 e1000.name=\"c d\" -- late.x=1\n")
	want := map[string]string{"nvme_core": "io_timeout=600 multipath=N", "i915": `x="a b"`, "ath9k": "nohwcrypt",
		"e1000": `name="c d"`}
	if diff := cmp.Diff(want, o.params); diff != "" {
		t.Errorf("parameters (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]bool{"nouveau": true, "snd_hda_intel": true}, o.blacklist); diff != "" {
		t.Errorf("blacklist (-want +got):\n%s", diff)
	}
}

// TestLoadPassesOptions loads nvme, whose options are those of nvme_core, which it links to.
func TestLoadPassesOptions(t *testing.T) {
	deps, err := parseDependencies(strings.NewReader("kernel/drivers/nvme/host/nvme.ko.xz: " +
		"kernel/drivers/nvme/host/nvme-core.ko.xz kernel/lib/t10.ko\n" +
		"kernel/drivers/nvme/host/nvme-core.ko.xz: kernel/lib/t10.ko\nkernel/lib/t10.ko:\n"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := parseAliases(strings.NewReader("alias pci:nvme* nvme\nalias pci:nvme* nouveau\n"), strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	l := &Loader{aliases: a, options: parseModuleOptions("nvme_core.io_timeout=600 modprobe.blacklist=nouveau"),
		deps: deps, tried: map[string]bool{},
		probe: func(name, params string) error { got = append(got, strings.TrimSpace(name+" "+params)); return nil }}
	loaded, err := l.LoadAlias("pci:nvme1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"nvme_core io_timeout=600", "nvme"}, got); diff != "" {
		t.Errorf("probed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"nvme"}, loaded); diff != "" {
		t.Errorf("loaded (-want +got):\n%s", diff)
	}
}

func FuzzModuleOptions(f *testing.F) {
	f.Add(`a.b=c "d.e=f g" modprobe.blacklist=h,i`)
	f.Add(`"`)
	f.Fuzz(func(t *testing.T, cmdline string) {
		for m, p := range parseModuleOptions(cmdline).params {
			if m == "" || p == "" || strings.Contains(m, "-") {
				t.Errorf("parseModuleOptions(%q) has %q for %q", cmdline, p, m)
			}
		}
	})
}
