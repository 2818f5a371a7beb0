package e2e

import (
	"context"
	_ "embed" // the LXC template
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"griddle/appliance/e2e/machinetest"
)

// ContainerName is the name of the room's LXC container.
const ContainerName = "web"

// poolSize is of the sparse file with the btrfs filesystem that containers live on.
const poolSize = 4 << 30

//go:embed recipe/lxc.sh
var lxcTemplate []byte

// Container is an LXC container, on btrfs, with the template in it: what a publisher prepares.
type Container struct {
	Name    string
	LXCPath string // the argument of lxc-ls -P and griddle publish --lxcpath
	Root    string

	room *Room
}

// Container makes a btrfs filesystem in a file, mounts it, and creates the container there.
func (r *Room) Container(ctx context.Context) (*Container, error) {
	tarball, err := Template(ctx, r.opt.Cache, r.opt.Log)
	if err != nil {
		return nil, err
	}
	return r.container(ctx, tarball)
}

// RichContainer is Container with RichTemplate in it.
func (r *Room) RichContainer(ctx context.Context) (*Container, error) {
	tarball, err := RichTemplate(ctx, r.opt.Cache, r.opt.Log)
	if err != nil {
		return nil, err
	}
	return r.container(ctx, tarball)
}

// VolumesContainer is Container with VolumesTemplate in it.
func (r *Room) VolumesContainer(ctx context.Context) (*Container, error) {
	tarball, err := VolumesTemplate(ctx, r.opt.Cache, r.opt.Log)
	if err != nil {
		return nil, err
	}
	return r.container(ctx, tarball)
}

// EncryptedContainer is Container with EncryptedTemplate in it.
func (r *Room) EncryptedContainer(ctx context.Context) (*Container, error) {
	tarball, err := EncryptedTemplate(ctx, r.opt.Cache, r.opt.Log)
	if err != nil {
		return nil, err
	}
	return r.container(ctx, tarball)
}

func (r *Room) container(ctx context.Context, tarball string) (*Container, error) {
	pool, err := r.mountPool(ctx)
	if err != nil {
		return nil, fmt.Errorf("making the container: %w", err)
	}
	c := &Container{Name: ContainerName, LXCPath: pool, Root: filepath.Join(pool, ContainerName, "rootfs"), room: r}
	script, config := r.path("lxc-template"), r.path("lxc.conf")
	if err := os.WriteFile(script, lxcTemplate, 0o755); err != nil {
		return nil, fmt.Errorf("making the container: %w", err)
	}
	if err := os.WriteFile(config, []byte("lxc.net.0.type = empty\n"), 0o644); err != nil {
		return nil, fmt.Errorf("making the container: %w", err)
	}
	if _, err := machinetest.Run(ctx, "lxc-create", "--lxcpath", pool, "--name", c.Name,
		"--bdev", "btrfs", "--config", config,
		"--template", script, "--", tarball); err != nil {
		return nil, fmt.Errorf("making the container: %w", err)
	}
	r.logf("container %s has the template", c.Name)
	return c, nil
}

// mountPool makes an empty btrfs filesystem in the room.
func (r *Room) mountPool(ctx context.Context) (string, error) {
	file, err := r.MakeDisk("pool", poolSize)
	if err != nil {
		return "", err
	}
	if _, err := machinetest.Run(ctx, "mkfs.btrfs", "-q", file); err != nil {
		return "", err
	}
	dir := r.path("lxc")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	// mount(8) takes a free loop device, and the kernel gives it back at the unmounting.
	if _, err := machinetest.Run(ctx, "mount", "-o", "loop,noatime", file, dir); err != nil {
		return "", err
	}
	r.onClose(func() error {
		if err := syscall.Unmount(dir, 0); err != nil {
			return fmt.Errorf("unmounting %s: %w", dir, err)
		}
		return nil
	})
	return dir, nil
}

// Install installs a Debian package into the container. It fetches the package's own file alone, into the cache, so
// it must be one that needs nothing else but what the template has.
func (c *Container) Install(ctx context.Context, name string) error {
	deb, err := fetchPackage(ctx, filepath.Join(c.room.opt.Cache, "debs"), name)
	if err != nil {
		return fmt.Errorf("installing %s into container %s: %w", name, c.Name, err)
	}
	inside := "/var/cache/apt/archives/" + filepath.Base(deb)
	if err := copyFile(filepath.Join(c.Root, inside), deb); err != nil {
		return fmt.Errorf("installing %s into container %s: %w", name, c.Name, err)
	}
	for _, args := range [][]string{{"dpkg", "--install", inside}, {"rm", inside}} {
		if err := c.Run(ctx, args...); err != nil {
			return fmt.Errorf("installing %s into container %s: %w", name, c.Name, err)
		}
	}
	c.room.logf("container %s has %s too", c.Name, strings.TrimSuffix(filepath.Base(deb), ".deb"))
	return nil
}

// Run runs a program of the container in it, as chroot does.
func (c *Container) Run(ctx context.Context, args ...string) error {
	_, err := machinetest.Run(ctx, "chroot", append([]string{c.Root}, args...)...)
	return err
}

// WriteFile leaves a file in the container, and makes its folders.
func (c *Container) WriteFile(name, text string, mode os.FileMode) error {
	file := filepath.Join(c.Root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("writing into container %s: %w", c.Name, err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		return fmt.Errorf("writing into container %s: %w", c.Name, err)
	}
	return nil
}

// fetchPackage returns the file of a Debian package, from dir or from the mirror.
func fetchPackage(ctx context.Context, dir, name string) (string, error) {
	find := func() string {
		found, _ := filepath.Glob(filepath.Join(dir, name+"_*.deb"))
		if len(found) == 0 {
			return ""
		}
		return found[len(found)-1]
	}
	if deb := find(); deb != "" {
		return deb, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	download := func() error {
		// _apt, as which apt downloads, may not write where root's cache is.
		cmd := exec.CommandContext(ctx, "apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name)
		cmd.Dir = dir
		_, err := machinetest.Capture(cmd, "apt-get", cmd.Args[1:])
		return err
	}
	if err := download(); err != nil {
		// The list of packages is missing, or older than the mirror.
		if _, err := machinetest.Run(ctx, "apt-get", "-q", "update"); err != nil {
			return "", err
		}
		if err := download(); err != nil {
			return "", err
		}
	}
	if deb := find(); deb != "" {
		return deb, nil
	}
	return "", fmt.Errorf("apt-get downloaded no %s_*.deb into %s", name, dir)
}
