// Package guesttest boots a small Debian with cloud-init in a virtual machine, for the tests of what cloud-init is told.
//
// Call MakeImage, then NewLAN, then Start; what each made goes away with the context's end or its Close. The tree of
// the Debian is made by recipe/guest.sh the first time, and kept in the user's cache.
package guesttest

import (
	"bytes"
	"context"
	_ "embed" // the recipe
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

const suite = "bookworm"

//go:embed recipe/guest.sh
var recipe []byte

// Tarball returns the tree of the guest as a tarball that zstd compressed, made with mmdebstrap if the cache has none.
// Programs that want it at the same time wait for one another.
func Tarball(ctx context.Context, log io.Writer) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("making the guest's tree: %w", err)
	}
	cache = filepath.Join(cache, "griddle")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("making the guest's tree: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(cache, "cloudguest.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", fmt.Errorf("making the guest's tree: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("making the guest's tree: locking: %w", err)
	}
	tarball := filepath.Join(cache, "cloudguest-"+suite+".tar.zst")
	if _, err := os.Stat(tarball); err == nil {
		return tarball, nil
	}
	fmt.Fprintln(log, "making a Debian with cloud-init by mmdebstrap (once; it is kept in", cache+")")
	if err := makeTarball(ctx, cache, tarball); err != nil {
		return "", fmt.Errorf("making the guest's tree: %w", err)
	}
	return tarball, nil
}

// DebianMirror is the base URL from which apt of this computer gets the packages of a suite, such as bookworm or bookworm-security
// (apt-get(8), indextargets). It is an error where apt has none.
func DebianMirror(ctx context.Context, suite string) (string, error) {
	out, err := output(ctx, "apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Component: main", "Codename: "+suite)
	if err != nil {
		return "", err
	}
	mirror, _, _ := strings.Cut(out, "\n")
	if mirror == "" {
		return "", fmt.Errorf("no source of Debian %s in the configuration of apt", suite)
	}
	return mirror, nil
}

func makeTarball(ctx context.Context, cache, tarball string) error {
	mirror, err := DebianMirror(ctx, suite)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(cache, "making-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	script, unfinished := filepath.Join(work, "guest.sh"), filepath.Join(work, "guest.tar.zst")
	if err := os.WriteFile(script, recipe, 0o755); err != nil {
		return err
	}
	if _, err := output(ctx, "bash", script, suite, mirror, unfinished); err != nil {
		return err
	}
	return os.Rename(unfinished, tarball)
}

// Tree unpacks the tarball into a directory, which must not be there.
func Tree(ctx context.Context, dir string, log io.Writer) error {
	tarball, err := Tarball(ctx, log)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("unpacking the guest's tree: %w", err)
	}
	_, err = output(ctx, "tar", "--zstd", "--numeric-owner", "-xpf", tarball, "-C", dir)
	return err
}

// Image is what a guest boots from: a kernel, its initrd, and an ext4 without a partition table.
type Image struct {
	Kernel, Initrd, Root string

	dir string
}

// MakeImage makes an image in dir.
func MakeImage(ctx context.Context, dir string, log io.Writer) (*Image, error) {
	tree := filepath.Join(dir, "tree")
	defer os.RemoveAll(tree)
	if err := Tree(ctx, tree, log); err != nil {
		return nil, err
	}
	i := &Image{Kernel: filepath.Join(dir, "vmlinuz"), Initrd: filepath.Join(dir, "initrd"), Root: filepath.Join(dir, "root.img"), dir: dir}
	for from, to := range map[string]string{"vmlinuz": i.Kernel, "initrd.img": i.Initrd} {
		if _, err := output(ctx, "cp", "-L", filepath.Join(tree, from), to); err != nil {
			return nil, err
		}
	}
	if _, err := output(ctx, "mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-d", tree, i.Root, "1536M"); err != nil {
		return nil, err
	}
	return i, nil
}

// Overlay returns a disk of size bytes that begins with the image's root and takes what the guest writes. Before that,
// commands of debugfs change the root in a copy.
func (i *Image) Overlay(ctx context.Context, name string, size int64, commands ...string) (string, error) {
	base := i.Root
	if len(commands) > 0 {
		base = filepath.Join(i.dir, name+".base")
		if _, err := output(ctx, "cp", "--sparse=always", i.Root, base); err != nil {
			return "", err
		}
		for _, c := range commands {
			// Its exit code is 0 whatever happens: what failed is told behind the line with its version.
			out, err := output(ctx, "sh", "-c", `debugfs -w -R "$0" "$1" 2>&1`, c, base)
			_, said, _ := strings.Cut(out, "\n")
			if said = strings.TrimSpace(said); err == nil && said != "" {
				err = fmt.Errorf("changing the root by debugfs %q: %s", c, said)
			}
			if err != nil {
				return "", err
			}
		}
	}
	disk := filepath.Join(i.dir, name+".qcow2")
	_, err := output(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", disk, fmt.Sprint(size))
	return disk, err
}

// output runs a program to its end, which comes with ours at the latest.
func output(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// The kernel sends the signal when the thread ends that started the process.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("running %s: it is missing; run make deps", program)
	case err != nil:
		said := strings.TrimSpace(stderr.String())
		return "", fmt.Errorf("running %s %s: %w: %s", program, strings.Join(args, " "), err, said[max(0, len(said)-2000):])
	}
	return stdout.String(), nil
}
