package appliance

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// recipe is what `make TARGET` would run.
func recipe(t *testing.T, target string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "make", "-C", "..", "-n", target)
	cmd.Env = append(os.Environ(), "MAKEFLAGS=") // of the make that runs the tests
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("make -n %s: %v\n%s", target, err, out)
	}
	return string(out)
}

// TestMakeBuildNeedsGo: `make build` is for machines where nothing is to be installed.
func TestMakeBuildNeedsGo(t *testing.T) {
	if got := recipe(t, "build"); strings.Contains(got, "apt-get") || strings.Contains(got, "dpkg") {
		t.Errorf("make build installs packages:\n%s", got)
	}
}

// TestMakeBootNeedsItsPackages: `make boot` installs the packages whose programs and files mkboot takes, and no others.
func TestMakeBootNeedsItsPackages(t *testing.T) {
	found := regexp.MustCompile(`missing=\$\(for p in (.*); do`).FindStringSubmatch(recipe(t, "boot"))
	if found == nil {
		t.Fatal("make boot checks no packages")
	}
	packages := strings.Fields(found[1])
	// whose files are read by their directories
	used := map[string]bool{"ipxe": true, "grub-pc-bin": true, "grub-efi-amd64-bin": true}
	for _, name := range mkbootPrograms(t) {
		pkg := packageOf(t, name)
		used[pkg] = true
		if !slices.Contains(packages, pkg) && !alwaysThere(t, pkg) {
			t.Errorf("mkboot takes %s, and make boot does not install %s", name, pkg)
		}
	}
	for _, pkg := range packages {
		if !used[pkg] {
			t.Errorf("make boot installs %s, of which mkboot takes nothing", pkg)
		}
	}
}

// mkbootPrograms are the programs that mkboot's source runs, and those that it copies from this machine.
func mkbootPrograms(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../initramfs/mkboot/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("mkboot has no source (%v)", err)
	}
	runs := regexp.MustCompile(`(?:exec\.CommandContext\(ctx, |output\(ctx, [a-z]+, |apt\(ctx, )"([a-z-]+)"`)
	copies := regexp.MustCompile(`"(/(?:usr/)?s?bin/[a-z0-9.-]+)"`)
	names := []string{"grub-mkimage"} // package bootloader runs it
	for _, f := range append(files, "../initramfs/bootloader/build.go", "../initramfs/ntfs/program.go",
		"../initramfs/disk/content/blkid.go") {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range slices.Concat(runs.FindAllSubmatch(b, -1), copies.FindAllSubmatch(b, -1)) {
			if name := string(m[1]); name != "go" {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// packageOf is the Debian package that a program is from.
func packageOf(t *testing.T, name string) string {
	t.Helper()
	path := name
	if !strings.HasPrefix(name, "/") {
		for _, dir := range []string{"/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"} {
			if _, err := os.Stat(dir + name); err == nil {
				path = dir + name
				break
			}
		}
	}
	// Debian's packages list some programs below /usr and some beside it; both are one directory.
	for _, p := range []string{path, strings.TrimPrefix(path, "/usr"), "/usr" + path} {
		out, err := exec.CommandContext(t.Context(), "dpkg-query", "-S", p).Output()
		if pkg, _, ok := strings.Cut(string(out), ":"); err == nil && ok {
			return pkg
		}
	}
	t.Fatalf("no package has %s; run make deps", path)
	return ""
}

// alwaysThere reports whether every Debian has a package.
func alwaysThere(t *testing.T, pkg string) bool {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "dpkg-query", "-W", "-f=${Essential} ${Priority}", pkg).Output()
	if err != nil {
		t.Fatalf("dpkg-query: %v", err)
	}
	return strings.Contains(string(out), "yes") || strings.Contains(string(out), "required")
}
