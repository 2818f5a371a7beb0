package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// aptFunc runs a program of apt and returns what it prints.
type aptFunc func(ctx context.Context, program string, args ...string) (string, error)

// apt prepares a private set of package sources: this machine's Debian mirrors with the component
// non-free-firmware added, which the machine's own list need not have. The machine's own lists stay as they are.
func (b *builder) apt(ctx context.Context) (aptFunc, error) {
	dir := filepath.Join(b.cache, "apt")
	for _, d := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, fmt.Errorf("making directories: %w", err)
		}
	}
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets",
		"--format", "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)", "Created-By: Packages").Output()
	if err != nil {
		return nil, fmt.Errorf("listing this machine's package sources: %w", err)
	}
	list := sources(string(out), "/usr/share/keyrings/debian-archive-keyring.gpg")
	if list == "" {
		return nil, fmt.Errorf("listing this machine's package sources: there is no Debian mirror; " +
			"run `apt-get update`, then try again")
	}
	file := filepath.Join(dir, "sources.list")
	if err := os.WriteFile(file, []byte(list), 0o644); err != nil {
		return nil, fmt.Errorf("writing package sources: %w", err)
	}
	options := []string{
		"-o", "Dir::Etc::sourcelist=" + file, "-o", "Dir::Etc::sourceparts=-",
		"-o", "Dir::Cache=" + filepath.Join(dir, "cache"), "-o", "Dir::State::lists=" + filepath.Join(dir, "lists"),
		"-o", "APT::Sandbox::User=root", "-o", "APT::Architecture=amd64", "-o", "Acquire::Languages=none",
		"-o", "Acquire::Retries=3",
	}
	return func(ctx context.Context, program string, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, program, append(slices.Clone(options), args...)...)
		cmd.Dir = dir
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("running %s %s: %w\n%s", program, args[0], err, &stderr)
		}
		return string(out), nil
	}, nil
}

// sources turns the lines ORIGIN|URI|RELEASE|COMPONENT into a sources.list of Debian's part of them.
func sources(targets, keyring string) string {
	var out []string
	for line := range strings.Lines(targets) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) == 4 && f[0] == "Debian" && f[3] == "main" {
			out = append(out, fmt.Sprintf("deb [signed-by=%s] %s %s main non-free-firmware\n", keyring, f[1], f[2]))
		}
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), "")
}

func digest(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s)))[:16] }
