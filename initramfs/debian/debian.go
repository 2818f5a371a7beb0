// Package debian fetches packages from this computer's Debian mirrors and unpacks them into a directory. It installs
// nothing, and leaves this computer's own package lists as they are.
//
// Call Open, Update, Download and Unpack, in this order. Kernel finds the kernel behind a metapackage such as
// linux-image-amd64.
//
// apt(8) verifies everything that comes from a mirror: the signature of the suite's list by Debian's keys, and each
// package by its hash in that list. A mirror or a network that changes a byte is an error.
//
// Sources: apt-get(8), section indextargets; apt.conf(5); sources.list(5), option signed-by; dpkg-deb(1).
package debian

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Keyring has the keys of Debian's archive (package debian-archive-keyring).
const Keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// Options say what Open opens.
type Options struct {
	// Dir keeps the lists between runs and gets the packages. One process uses it at a time.
	Dir        string
	Suite      string   // "trixie": another Debian than the mirrors' lists name; "" means theirs
	Components []string // "main", "non-free-firmware"; the first is one that the mirrors' lists name
	Arch       string   // "amd64"
}

// Mirror is a private set of package sources.
type Mirror struct {
	dir     string
	options []string
}

// Open writes the private list of package sources: this computer's Debian mirrors, with Options.Components, which
// this computer's own list need not have. It is an error if this computer has no mirror of Debian.
func Open(ctx context.Context, o Options) (*Mirror, error) {
	for _, d := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(o.Dir, d), 0o755); err != nil {
			return nil, fmt.Errorf("making directories: %w", err)
		}
	}
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets",
		"--format", "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)", "Created-By: Packages").Output()
	if err != nil {
		return nil, fmt.Errorf("listing this computer's package sources: %w", err)
	}
	list := sources(string(out), o)
	if list == "" {
		return nil, fmt.Errorf("listing this computer's package sources: there is no Debian mirror; " +
			"run `apt-get update`, then try again")
	}
	file := filepath.Join(o.Dir, "sources.list")
	if err := os.WriteFile(file, []byte(list), 0o644); err != nil {
		return nil, fmt.Errorf("writing package sources: %w", err)
	}
	return &Mirror{dir: o.Dir, options: []string{
		"-o", "Dir::Etc::sourcelist=" + file, "-o", "Dir::Etc::sourceparts=-",
		"-o", "Dir::Cache=" + filepath.Join(o.Dir, "cache"), "-o", "Dir::State::lists=" + filepath.Join(o.Dir, "lists"),
		"-o", "APT::Sandbox::User=root", "-o", "APT::Architecture=" + o.Arch, "-o", "Acquire::Languages=none",
		"-o", "Acquire::Retries=3",
	}}, nil
}

// sources turns the lines ORIGIN|URI|RELEASE|COMPONENT into a sources.list of Debian's part of them.
func sources(targets string, o Options) string {
	type source struct{ uri, release string }
	var all []source
	for line := range strings.Lines(targets) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) == 4 && f[0] == "Debian" && f[3] == o.Components[0] {
			all = append(all, source{f[1], f[2]})
		}
	}
	var out []string
	for _, s := range all {
		if o.Suite != "" {
			// bookworm-security becomes trixie-security: the same mirror has both.
			_, part, ok := strings.Cut(s.release, "-")
			if s.release = o.Suite; ok {
				s.release += "-" + part
			}
		}
		out = append(out, fmt.Sprintf("deb [signed-by=%s] %s %s %s\n", Keyring, s.uri, s.release,
			strings.Join(o.Components, " ")))
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), "")
}

// run runs a program of apt with the private sources, and returns what it prints.
func (m *Mirror) run(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, append(slices.Clone(m.options), args...)...)
	cmd.Dir = m.dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("running %s %s: %w\n%s", program, args[0], err, &stderr)
	}
	return string(out), nil
}
