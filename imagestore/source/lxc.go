package source

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// findContainer fills in s for "NAME" or "NAME/SNAPSHOT".
func (s *Source) findContainer(ctx context.Context, name string, o Options) error {
	container, snapshot, isSnapshot := strings.Cut(name, "/")
	for _, part := range []string{container, snapshot} {
		if strings.ContainsAny(part, "/\x00") || part == "." || part == ".." || part == "" && (isSnapshot || part == container) {
			return fmt.Errorf("%w: %q is no name of a container or of its snapshot", ErrName, name)
		}
	}
	lxcpath := o.LXCPath
	if lxcpath == "" {
		lxcpath = defaultLXCPath(ctx)
	}
	lxcpath, err := filepath.Abs(lxcpath)
	if err != nil {
		return err
	}
	dir := filepath.Join(lxcpath, container)
	if isSnapshot {
		dir = filepath.Join(dir, "snaps", snapshot)
	}
	if !exists(filepath.Join(dir, "config")) {
		return notThere(lxcpath, container, snapshot)
	}
	c, err := readConfig(filepath.Join(dir, "config"))
	if err != nil {
		return err
	}
	if s.Dir, err = c.subvolume(); err != nil {
		return err
	}
	if c.arch != "" {
		s.Arch = arch(c.arch)
	}
	s.keep = filepath.Join(lxcpath, keepName)
	return nil
}

// defaultLXCPath asks lxc itself, which knows what /etc/lxc/lxc.conf says.
func defaultLXCPath(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "lxc-config", "lxc.lxcpath").Output()
	if p := strings.TrimSpace(string(out)); err == nil && filepath.IsAbs(p) {
		return p
	}
	return "/var/lib/lxc"
}

// notThere says what there is instead.
func notThere(lxcpath, container, snapshot string) error {
	pattern, what := filepath.Join(lxcpath, "*", "config"), "container "+container
	if snapshot != "" && exists(filepath.Join(lxcpath, container, "config")) {
		pattern, what = filepath.Join(lxcpath, container, "snaps", "*", "config"), "snapshot "+snapshot
	}
	var names []string
	found, _ := filepath.Glob(pattern) // the pattern is well formed
	for _, f := range found {
		names = append(names, filepath.Base(filepath.Dir(f)))
	}
	in := filepath.Dir(filepath.Dir(pattern))
	if len(names) == 0 {
		return fmt.Errorf("there is no %s, nor any other, in %s", what, in)
	}
	return fmt.Errorf("there is no %s in %s, only %s", what, in, strings.Join(names[:min(len(names), 10)], ", "))
}

// config is what of a container's configuration matters here (lxc.container.conf(5)).
type config struct {
	rootfs string   // lxc.rootfs.path
	option string   // lxc.rootfs.options
	arch   string   // lxc.arch
	idmap  []string // lxc.idmap
}

// maxIncludes bounds lxc.include, which may lead in a circle.
const maxIncludes = 100

func readConfig(path string) (config, error) {
	var c config
	budget := maxIncludes
	if err := c.readFile(path, &budget); err != nil {
		return config{}, fmt.Errorf("reading configuration: %w", err)
	}
	return c, nil
}

func (c *config) readFile(path string, budget *int) error {
	if *budget--; *budget < 0 {
		return fmt.Errorf("more than %d files are included", maxIncludes)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return c.read(f, func(include string) error {
		fi, err := os.Stat(include)
		if err != nil {
			return err
		}
		if !fi.IsDir() {
			return c.readFile(include, budget)
		}
		files, _ := filepath.Glob(filepath.Join(include, "*.conf")) // a directory's name may hold metacharacters: it then has no files
		slices.Sort(files)
		for _, f := range files {
			if err := c.readFile(f, budget); err != nil {
				return err
			}
		}
		return nil
	})
}

// read takes "key = value" lines; an empty value takes back what was said before.
func (c *config) read(r io.Reader, include func(string) error) error {
	lines := bufio.NewScanner(io.LimitReader(r, 1<<20))
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		switch key {
		case "lxc.include":
			if err := include(value); err != nil {
				return err
			}
		case "lxc.rootfs.path", "lxc.rootfs":
			c.rootfs = value
		case "lxc.rootfs.options":
			c.option = value
		case "lxc.arch":
			c.arch = value
		case "lxc.idmap", "lxc.id_map":
			if value == "" {
				c.idmap = nil
			} else {
				c.idmap = append(c.idmap, value)
			}
		}
	}
	return lines.Err()
}

// subvolume gives the directory of the root filesystem, if it is of a kind that can be published.
func (c *config) subvolume() (string, error) {
	kind, path, ok := strings.Cut(c.rootfs, ":")
	if !ok {
		kind, path = "dir", c.rootfs
	}
	switch {
	case c.rootfs == "":
		return "", fmt.Errorf("%w: its configuration has no lxc.rootfs.path", ErrUnsuitable)
	case kind != "dir" && kind != "btrfs":
		return "", fmt.Errorf("%w: its root filesystem is %q; only a btrfs subvolume can be sent (lxc-create -B btrfs, or lxc-copy -B btrfs)", ErrUnsuitable, c.rootfs)
	case !filepath.IsAbs(path):
		return "", fmt.Errorf("%w: its root filesystem %q is not an absolute path", ErrUnsuitable, c.rootfs)
	}
	if len(c.idmap) > 0 && !strings.Contains(c.option, "idmap=container") {
		return "", fmt.Errorf("%w: it is unprivileged (lxc.idmap = %s), so the owners of its files are shifted and would be wrong on a machine; "+
			"with lxc.rootfs.options = idmap=container they are not", ErrUnsuitable, c.idmap[0])
	}
	return path, nil
}
