package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"griddle/appliance/e2e/machinetest"
)

// Repository makes a git repository with one commit of some files, by their names, and serves it on the LAN. It may be
// called once.
func (r *Room) Repository(ctx context.Context, files map[string]string) (url string, err error) {
	base := r.path("git")
	tree := filepath.Join(base, "site.git")
	for name, text := range files {
		file := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return "", fmt.Errorf("making a repository: %w", err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return "", fmt.Errorf("making a repository: %w", err)
		}
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"},
		{"add", "."},
		{"-c", "user.name=room", "-c", "user.email=room@example.org", "commit", "-q", "-m", "site: all machines"},
	} {
		if _, err := machinetest.Run(ctx, "git", append([]string{"-C", tree}, args...)...); err != nil {
			return "", err
		}
	}
	// Not `git daemon`, which would be its parent and leave it behind.
	programs, err := machinetest.Run(ctx, "git", "--exec-path")
	if err != nil {
		return "", err
	}
	p, err := r.start("git", "server", filepath.Join(strings.TrimSpace(programs), "git-daemon"), "--verbose",
		"--reuseaddr", "--export-all", "--base-path="+base, "--listen="+ServerAddress, base)
	if err != nil {
		return "", err
	}
	if _, err := p.Output.Wait(ctx, `Ready to rumble`); err != nil {
		return "", err
	}
	r.logf("git-daemon serves a repository")
	return "git://" + ServerAddress + "/site.git", nil
}
