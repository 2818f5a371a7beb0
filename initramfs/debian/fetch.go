package debian

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Update fetches the mirrors' newest lists of packages, and verifies their signatures.
func (m *Mirror) Update(ctx context.Context) error {
	_, err := m.run(ctx, "apt-get", "-q", "update")
	return err
}

// Kernel returns the package of the kernel that a metapackage depends on: linux-image-6.1.0-56-amd64 for
// linux-image-amd64. The name of a kernel's own package is returned as it is.
func (m *Mirror) Kernel(ctx context.Context, name string) (string, error) {
	depends, err := m.run(ctx, "apt-cache", "depends", "--important", name)
	if err != nil {
		return "", err
	}
	if found := kernelOf(depends, name); found != "" {
		return found, nil
	}
	return "", fmt.Errorf("looking for a kernel: %s does not depend on a kernel package:\n%s", name, depends)
}

// kernelOf finds the kernel in what `apt-cache depends --important` prints about a package.
func kernelOf(depends, name string) string {
	for _, f := range strings.Fields(depends) {
		if strings.HasPrefix(f, "linux-image-") && f != name {
			return f
		}
	}
	// The package of a kernel depends on what installs it, such as kmod.
	if release, ok := strings.CutPrefix(name, "linux-image-"); ok && release != "" && release[0] >= '0' &&
		release[0] <= '9' {
		return name
	}
	return ""
}

// File is a package file of a mirror.
type File struct {
	Name   string // NAME_VERSION_ARCH.deb, with %3a for the colon of an epoch
	SHA256 string // 64 hex digits; "" if the mirror's list has another hash
}

// Files returns the files that Download fetches, sorted by name.
func (m *Mirror) Files(ctx context.Context, packages ...string) ([]File, error) {
	uris, err := m.run(ctx, "apt-get", append([]string{"download", "--print-uris"}, packages...)...)
	if err != nil {
		return nil, err
	}
	return filesOf(uris), nil
}

// filesOf reads what `apt-get download --print-uris` prints: 'URI' FILE SIZE HASH:DIGEST.
func filesOf(uris string) []File {
	var files []File
	for line := range strings.Lines(uris) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[0], "'") {
			sum, _ := strings.CutPrefix(f[len(f)-1], "SHA256:")
			if len(sum) != 64 {
				sum = ""
			}
			files = append(files, File{Name: f[1], SHA256: sum})
		}
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return files
}

// Download fetches packages and verifies them. It returns their paths, which are below Options.Dir; the caller removes
// them.
func (m *Mirror) Download(ctx context.Context, packages ...string) ([]string, error) {
	pattern := filepath.Join(m.dir, "*.deb")
	left, _ := filepath.Glob(pattern) // of a run that was interrupted
	for _, deb := range left {
		if err := os.Remove(deb); err != nil {
			return nil, fmt.Errorf("downloading packages: %w", err)
		}
	}
	if _, err := m.run(ctx, "apt-get", append([]string{"-q", "download"}, packages...)...); err != nil {
		return nil, err
	}
	debs, err := filepath.Glob(pattern)
	if err != nil || len(debs) == 0 {
		return nil, fmt.Errorf("downloading packages: no package was downloaded")
	}
	return debs, nil
}

// Unpack unpacks a package into the directory root, which is created if it does not exist. No script of the package
// runs.
func Unpack(ctx context.Context, deb, root string) error {
	if out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", deb, root).CombinedOutput(); err != nil {
		return fmt.Errorf("unpacking %s: %w\n%s", filepath.Base(deb), err, out)
	}
	return nil
}

// Libraries returns packages and the packages of all libraries that they depend on, sorted: those whose names begin
// with "lib". What else they depend on is left out.
func (m *Mirror) Libraries(ctx context.Context, packages ...string) ([]string, error) {
	all := map[string]bool{}
	for ask := packages; len(ask) > 0; {
		for _, name := range ask {
			all[name] = true
		}
		depends, err := m.run(ctx, "apt-cache", append([]string{"depends", "--important"}, ask...)...)
		if err != nil {
			return nil, err
		}
		ask = slices.DeleteFunc(librariesOf(depends), func(name string) bool { return all[name] })
	}
	return slices.Sorted(maps.Keys(all)), nil
}

// librariesOf finds the libraries in what `apt-cache depends --important` prints about packages, each once. Of
// alternatives it takes the first one. Virtual packages, which are in <>, are left out: what provides them may be one
// of many.
func librariesOf(depends string) []string {
	var out []string
	alternative := false // to the line before
	for line := range strings.Lines(depends) {
		kind, name, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok {
			continue
		}
		if strings.HasPrefix(name, "lib") && !alternative {
			name, _, _ = strings.Cut(name, ":") // the architecture
			out = append(out, name)
		}
		alternative = strings.HasPrefix(kind, "|")
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// There returns those of packages that the mirrors have.
func (m *Mirror) There(ctx context.Context, packages ...string) ([]string, error) {
	policy, err := m.run(ctx, "apt-cache", append([]string{"policy"}, packages...)...)
	if err != nil {
		return nil, err
	}
	return thereIn(policy), nil
}

// thereIn finds the packages that can be downloaded in what `apt-cache policy` prints about some.
func thereIn(policy string) []string {
	var out []string
	name := ""
	for line := range strings.Lines(policy) {
		if !strings.HasPrefix(line, " ") {
			name = strings.TrimSuffix(strings.TrimSpace(line), ":")
		} else if version, ok := strings.CutPrefix(strings.TrimSpace(line), "Candidate: "); ok && version != "(none)" {
			out = append(out, name)
		}
	}
	return out
}
