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
	"strings"
	"syscall"
	"time"
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
	tarball := filepath.Join(cache, fmt.Sprintf("template-%s-%x.tar.zst", suite, recipe[:6]))
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("making the template: %w", err)
	}
	unlock, err := lock(filepath.Join(cache, "template.lock"))
	if err != nil {
		return "", fmt.Errorf("making the template: %w", err)
	}
	defer unlock()
	if _, err := os.Stat(tarball); err == nil {
		return tarball, nil
	}
	fmt.Fprintln(log, "making the Debian template with debootstrap (once; it is kept in", cache+")")
	begun := time.Now()
	if err := makeTemplate(ctx, cache, tarball); err != nil {
		return "", fmt.Errorf("making the template: %w", err)
	}
	fmt.Fprintf(log, "the template is made, in %.0f s\n", time.Since(begun).Seconds())
	return tarball, nil
}

func makeTemplate(ctx context.Context, cache, tarball string) error {
	mirror, err := debianMirror(ctx)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(cache, "making-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	script, root := filepath.Join(work, "template.sh"), filepath.Join(work, "root")
	if err := os.WriteFile(script, templateRecipe, 0o755); err != nil {
		return err
	}
	logfile, err := os.Create(filepath.Join(cache, "template.log"))
	if err != nil {
		return err
	}
	defer logfile.Close()
	cmd := exec.CommandContext(ctx, "bash", script, suite, mirror, root, filepath.Join(cache, "debs"))
	cmd.Stdout, cmd.Stderr = logfile, logfile
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running its recipe: %w; its output is in %s", err, logfile.Name())
	}
	unfinished := filepath.Join(work, "root.tar.zst")
	if err := output(ctx, "tar", "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner", "--one-file-system",
		"-C", root, "-I", "zstd -3 -T0", "-cf", unfinished, "."); err != nil {
		return err
	}
	return os.Rename(unfinished, tarball)
}

// debianMirror is where this computer gets its own Debian packages from.
func debianMirror(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Component: main", "Codename: "+suite)
	out, err := capture(cmd, "apt-get", cmd.Args[1:])
	if err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(out, "\n")
	if first == "" {
		return "", fmt.Errorf("no source of Debian %s in the configuration of apt", suite)
	}
	return first, nil
}

// lock takes a lock that other programs see, and waits for it.
func lock(file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", file, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", file, err)
	}
	return func() { f.Close() }, nil
}
