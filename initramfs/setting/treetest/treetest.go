// Package treetest has trees of real distributions for the tests of package setting, and runs their programs.
//
// Call Debian or Fedora for a tree that the test may change, then Tree.Run for a program in it. The trees of Debian are
// made with mmdebstrap the first time, and kept in the user's cache; each test changes an overlay. Fedora is a Debian
// with the files of a Fedora, as no mirror of a distribution with rpm can be reached: what only its own programs show
// is not seen.
//
// Tests must run as root.
package treetest

import (
	"context"
	"crypto/sha256"
	_ "embed" // the recipes
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/e2e/machinetest"
)

//go:embed debian.sh
var debianRecipe []byte

//go:embed fedora.sh
var fedoraRecipe string

//go:embed inside.sh
var insideScript string

// Tree is the root of a system.
type Tree struct{ Dir string }

// Debian is the tree of a suite of Debian, such as bookworm.
func Debian(t *testing.T, suite string) Tree {
	t.Helper()
	user, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(debianRecipe)
	name := fmt.Sprintf("settings-%s-%x", suite, sum[:6])
	dir, err := machinetest.Cached(filepath.Join(user, "griddle"), name, "settings-"+suite, t.Output(),
		func(work string) (string, error) { return makeDebian(t.Context(), suite, work) })
	if err != nil {
		t.Fatal(err)
	}
	return overlay(t, dir)
}

// makeDebian makes the tree in work. A suite whose packages apt of this computer does not get comes from the mirror of
// one that it does.
func makeDebian(ctx context.Context, suite, work string) (string, error) {
	mirror, err := machinetest.Mirror(ctx, suite)
	if err != nil {
		if mirror, err = machinetest.Mirror(ctx, "bookworm"); err != nil {
			return "", err
		}
	}
	script, dir := filepath.Join(work, "debian.sh"), filepath.Join(work, "tree")
	if err := os.WriteFile(script, debianRecipe, 0o755); err != nil {
		return "", err
	}
	_, err = machinetest.Run(ctx, "bash", script, suite, mirror, dir)
	return dir, err
}

// Fedora is a tree in the shape of Fedora's.
func Fedora(t *testing.T) Tree {
	t.Helper()
	tree := Debian(t, "bookworm")
	cmd := exec.CommandContext(t.Context(), "bash", "-c", fedoraRecipe, "fedora.sh", tree.Dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("making the tree of a Fedora: %v\n%s", err, out)
	}
	return tree
}

// overlay is a tree whose changes end with the test.
func overlay(t *testing.T, lower string) Tree {
	t.Helper()
	top := t.TempDir()
	dir := filepath.Join(top, "root")
	for _, name := range []string{"up", "work", "root"} {
		if err := os.Mkdir(filepath.Join(top, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), "mount", "-t", "overlay", "overlay", "-o",
		fmt.Sprintf("lowerdir=%s,upperdir=%s/up,workdir=%s/work", lower, top, top), dir).CombinedOutput()
	if err != nil {
		t.Fatalf("mounting %s: %v: %s (run the tests as root)", lower, err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("unmounting %s: %v: %s", dir, err, out)
		}
	})
	return Tree{dir}
}

// Run runs a program of the tree, in a network of its own that has no interface, and returns its output and error
// output.
func (r Tree) Run(ctx context.Context, name string, args ...string) (string, error) {
	return r.Script(ctx, `shift; exec chroot "$ROOT" "$@"`, append([]string{name}, args...)...)
}

// Script runs a script of the shell outside of the tree, in namespaces in which the tree at $ROOT is ready for
// programs. The arguments are $2 and those after it. All processes end with the script.
func (r Tree) Script(ctx context.Context, script string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "unshare", append([]string{"--mount", "--net", "--pid", "--fork", "--kill-child",
		"--mount-proc=" + filepath.Join(r.Dir, "proc"), "bash", "-c", insideScript, "inside.sh", script}, args...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
		"HOME=/root", "SYSTEMD_COLORS=0", "ROOT=" + r.Dir}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("running %s: %w: %s", strings.Join(args, " "), err,
			strings.TrimSpace(string(out)))
	}
	return string(out), nil
}
