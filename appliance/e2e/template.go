package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed" // the recipes
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"griddle/appliance/e2e/machinetest"
)

// RootPassword opens root's account on every machine that is installed from the template.
const RootPassword = "griddle"

const suite = "bookworm"

//go:embed recipe/template.sh
var templateRecipe []byte

//go:embed recipe/rich.sh
var richRecipe []byte

//go:embed recipe/volumes.sh
var volumesRecipe []byte

//go:embed recipe/encrypted.sh
var encryptedRecipe []byte

//go:embed recipe/dracut.sh
var dracutRecipe []byte

// moreRecipe is the end of those that add packages.
//
//go:embed recipe/more.sh
var moreRecipe []byte

// Template returns a tarball of a small Debian that boots, made by debootstrap the first time and kept in cache, under
// a name that changes with its recipe. Programs that want it at the same time wait for one another.
func Template(ctx context.Context, cache string, log io.Writer) (string, error) {
	return machinetest.Cached(cache, tarball("template", templateRecipe), "template", log,
		func(work string) (string, error) {
			mirror, err := machinetest.Mirror(ctx, suite)
			if err != nil {
				return "", err
			}
			root := filepath.Join(work, "root")
			if err := cook(ctx, cache, work, "template", templateRecipe, suite, mirror, root); err != nil {
				return "", err
			}
			return pack(ctx, work, root)
		})
}

// RichTemplate returns a tarball of the template with more in it: ifupdown, NetworkManager, cloud-init, Puppet, Ansible
// and git. All are off.
func RichTemplate(ctx context.Context, cache string, log io.Writer) (string, error) {
	return templateWith(ctx, cache, log, "rich", richRecipe)
}

// VolumesTemplate returns a tarball of the template with mdadm, lvm2 and tpm2-tss.
func VolumesTemplate(ctx context.Context, cache string, log io.Writer) (string, error) {
	return templateWith(ctx, cache, log, "volumes", volumesRecipe)
}

// EncryptedTemplate returns a tarball of the template with an initrd of dracut that opens an encrypted pool.
func EncryptedTemplate(ctx context.Context, cache string, log io.Writer) (string, error) {
	return templateWith(ctx, cache, log, "encrypted", encryptedRecipe, dracutRecipe)
}

// templateWith is a tarball of the template with the packages of another recipe, and what comes after them.
func templateWith(ctx context.Context, cache string, log io.Writer, name string, recipe []byte,
	after ...[]byte) (string, error) {
	recipe = slices.Concat(append([][]byte{recipe, moreRecipe}, after...)...)
	base, err := Template(ctx, cache, log)
	if err != nil {
		return "", err
	}
	return machinetest.Cached(cache, tarball(name, templateRecipe, recipe), name+" template", log,
		func(work string) (string, error) {
			root := filepath.Join(work, "root")
			if err := os.Mkdir(root, 0o755); err != nil {
				return "", err
			}
			if _, err := machinetest.Run(ctx, "tar", "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner",
				"-C", root, "-I", "zstd", "-xf", base); err != nil {
				return "", err
			}
			if err := cook(ctx, cache, work, name, recipe, root); err != nil {
				return "", err
			}
			return pack(ctx, work, root)
		})
}

// tarball is the name of a tarball that is made by some recipes.
func tarball(name string, recipes ...[]byte) string {
	sum := sha256.Sum256(bytes.Join(recipes, nil))
	return fmt.Sprintf("%s-%s-%x.tar.zst", name, suite, sum[:6])
}

// cook runs a recipe with arguments and the directory of Debian packages. Its output is in NAME.log in cache. Its
// mounts end with it.
func cook(ctx context.Context, cache, work, name string, recipe []byte, args ...string) error {
	script := filepath.Join(work, name+".sh")
	if err := os.WriteFile(script, recipe, 0o755); err != nil {
		return err
	}
	logfile, err := os.Create(filepath.Join(cache, name+".log"))
	if err != nil {
		return err
	}
	defer logfile.Close()
	args = append([]string{"--mount", "bash", script}, args...)
	cmd := exec.CommandContext(ctx, "unshare", append(args, filepath.Join(cache, "debs"))...)
	cmd.Stdout, cmd.Stderr = logfile, logfile
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running its recipe: %w; its output is in %s", err, logfile.Name())
	}
	return nil
}

// pack makes a tarball of root in work.
func pack(ctx context.Context, work, root string) (string, error) {
	made := filepath.Join(work, "root.tar.zst")
	_, err := machinetest.Run(ctx, "tar", "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner",
		"--one-file-system", "-C", root, "-I", "zstd -3 -T0", "-cf", made, ".")
	return made, err
}
