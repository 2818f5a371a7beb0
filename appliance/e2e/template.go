package e2e

import (
	"context"
	"crypto/sha256"
	_ "embed" // the recipes
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"griddle/appliance/e2e/machinetest"
)

// RootPassword opens root's account on every machine that is installed from the template.
const RootPassword = "griddle"

const suite = "bookworm"

//go:embed recipe/template.sh
var templateRecipe []byte

// Template returns a tarball of a small Debian that boots, made by debootstrap the first time and kept in cache, under
// a name that changes with its recipe. Programs that want it at the same time wait for one another.
func Template(ctx context.Context, cache string, log io.Writer) (string, error) {
	recipe := sha256.Sum256(templateRecipe)
	return machinetest.Cached(cache, fmt.Sprintf("template-%s-%x.tar.zst", suite, recipe[:6]), "template", log,
		func(work string) (string, error) {
			return makeTemplate(ctx, cache, work)
		})
}

// makeTemplate makes it in work, with a log and the packages in cache.
func makeTemplate(ctx context.Context, cache, work string) (string, error) {
	mirror, err := machinetest.Mirror(ctx, suite)
	if err != nil {
		return "", err
	}
	script, root := filepath.Join(work, "template.sh"), filepath.Join(work, "root")
	if err := os.WriteFile(script, templateRecipe, 0o755); err != nil {
		return "", err
	}
	logfile, err := os.Create(filepath.Join(cache, "template.log"))
	if err != nil {
		return "", err
	}
	defer logfile.Close()
	cmd := exec.CommandContext(ctx, "bash", script, suite, mirror, root, filepath.Join(cache, "debs"))
	cmd.Stdout, cmd.Stderr = logfile, logfile
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("running its recipe: %w; its output is in %s", err, logfile.Name())
	}
	unfinished := filepath.Join(work, "root.tar.zst")
	if _, err := machinetest.Run(ctx, "tar", "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner",
		"--one-file-system",
		"-C", root, "-I", "zstd -3 -T0", "-cf", unfinished, "."); err != nil {
		return "", err
	}
	return unfinished, nil
}
