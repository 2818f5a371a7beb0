package unit_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/bless/unit"
	"griddle/initramfs/sysroot"
)

// systemd accepts the units, together with its own, and finds no cycle.
func TestUnitsVerify(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for _, u := range unit.Units() {
		// The program is not on the machine that tests.
		text := strings.ReplaceAll(u.Text, "/usr/lib/griddle/griddle-agent", "/bin/true")
		file := filepath.Join(dir, u.Name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	cmd := exec.CommandContext(t.Context(), "systemd-analyze", append([]string{"verify", "--man=no"}, files...)...)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v:\n%s", err, out)
	}
}

// Install has the units started as their [Install] sections say, and gives old systems the target that they lack.
func TestInstall(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	const dir = "etc/systemd/system/"
	for range 2 {
		if err := unit.Install(sysroot.Dir{Root: root}); err != nil {
			t.Fatal(err)
		}
		for _, u := range unit.Units() {
			target, kind, _ := strings.Cut(u.Pulled, ".target.")
			for word, k := range map[string]string{"WantedBy=": "wants", "RequiredBy=": "requires"} {
				if strings.Contains(u.Text, "\n"+word+target+".target\n") != (k == kind) {
					t.Errorf("%s is pulled in by %s, and its text is\n%s", u.Name, u.Pulled, u.Text)
				}
			}
			if b, err := root.ReadFile(dir + u.Pulled + "/" + u.Name); err != nil || string(b) != u.Text {
				t.Errorf("%s starts %q, %v", u.Pulled, b, err)
			}
		}
		if _, err := root.Stat(dir + "boot-complete.target"); err != nil {
			t.Error(err)
		}
	}
	newer, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { newer.Close() })
	d := sysroot.Dir{Root: newer}
	if err := d.Write("usr/lib/systemd/system/boot-complete.target", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unit.Install(d); err != nil || d.Has(dir+"boot-complete.target") {
		t.Errorf("Install = %v, and replaces the system's own target: %t", err, d.Has(dir+"boot-complete.target"))
	}
}
