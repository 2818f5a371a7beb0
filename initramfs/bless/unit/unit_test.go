package unit_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/initramfs/bless/unit"
	"griddle/initramfs/resident"
	"griddle/initramfs/sysroot"
	"griddle/initramfs/systemd"
)

const dir = "etc/systemd/system/"

func newTree(t *testing.T) sysroot.Dir {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return sysroot.Dir{Root: root}
}

// systemd accepts these units and those of the service, together with its own, and a start of the whole system has no
// ordering cycle: to break one, systemd would leave out any of its units.
func TestVerify(t *testing.T) {
	d := newTree(t)
	var names []string
	for _, u := range slices.Concat(unit.Units(), resident.Units()) {
		// The program is not on the machine that tests.
		u.Text = strings.ReplaceAll(u.Text, "/usr/lib/griddle/griddle-agent", "/bin/true")
		if err := systemd.Install(d, u); err != nil {
			t.Fatal(err)
		}
		names = append(names, u.Name)
	}
	args := append([]string{"verify", "--man=no", "graphical.target"}, names...)
	cmd := exec.CommandContext(t.Context(), "systemd-analyze", args...)
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+filepath.Join(d.Name(), dir)+":") // and systemd's own
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "griddle") || strings.Contains(string(out), "cycle") {
		t.Errorf("systemd-analyze verify: %v:\n%s", err, out)
	}
}

// Install has the units started with the system, and gives old systems the target that they lack.
func TestInstall(t *testing.T) {
	old, newer := newTree(t), newTree(t)
	if err := newer.Write("usr/lib/systemd/system/boot-complete.target", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, d := range []sysroot.Dir{old, old, newer} {
		if err := unit.Install(d); err != nil {
			t.Fatal(err)
		}
		for _, link := range []string{"sysinit.target.wants/griddle-deadline.service",
			"boot-complete.target.requires/griddle-health.service", "multi-user.target.wants/griddle-bless.service"} {
			b, err := d.ReadFile(dir + link)
			if err != nil || !strings.Contains(string(b), "/griddle-agent ") {
				t.Errorf("%s starts %q, %v", link, b, err)
			}
		}
		if own := d.Has(dir + "boot-complete.target"); own != (d == old) {
			t.Errorf("the system has a boot-complete.target of ours: %t", own)
		}
	}
}
