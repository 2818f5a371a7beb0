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
		if strings.ContainsAny(part, "/\x00") || part == "." || part == ".." ||
			part == "" && (isSnapshot || part == container) {
			return fmt.Errorf("%w: %q is not the name of a container or of its snapshot", ErrName, name)
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
	if c.arch != "" {
		s.Arch = arch(c.arch)
	}
	root, err := c.root()
	if err != nil {
		return err
	}
	if len(c.idmap) > 0 && !strings.Contains(c.option, "idmap=container") {
		if s.ids, err = parseIDMap(c.idmap); err != nil {
			return err
		}
	}
	if len(root.lower) > 0 {
		s.Dir, s.make, s.keep = root.dir, &overlay{upper: root.dir, lower: root.lower}, o.spool()
		return nil
	}
	s.Dir, s.keep = root.dir, filepath.Join(lxcpath, keepName)
	return s.settle(&directory{}, o)
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
		return fmt.Errorf("there is no %s in %s, and no other one", what, in)
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
		// a directory's name may hold metacharacters: it then has no files
		files, _ := filepath.Glob(filepath.Join(include, "*.conf"))
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

// rootFS is where a container's files are.
type rootFS struct {
	dir   string
	lower []string // of an overlay, whose uppermost directory dir is: what lies below it, from the top
}

// root finds the root file system, if it is of a kind that can be published.
func (c *config) root() (rootFS, error) {
	kind, path, ok := strings.Cut(c.rootfs, ":")
	if !ok || strings.HasPrefix(c.rootfs, "/") {
		kind, path = "dir", c.rootfs
	}
	var r rootFS
	switch {
	case c.rootfs == "":
		return r, fmt.Errorf("%w: its configuration has no lxc.rootfs.path", ErrUnsuitable)
	case kind == "dir" || kind == "btrfs":
		r.dir = path
	case kind == "overlay" || kind == "overlayfs":
		// LOWER:UPPER, where LOWER may be several, the highest first (lxc's storage/overlay.c).
		dirs := strings.Split(path, ":")
		r.dir, r.lower = dirs[len(dirs)-1], dirs[:len(dirs)-1]
		if len(r.lower) == 0 {
			return r, fmt.Errorf("%w: its root filesystem %q is an overlay without directories",
				ErrUnsuitable, c.rootfs)
		}
	default:
		return r, fmt.Errorf("%w: its root filesystem is %q; only a directory, a btrfs subvolume or an overlay can "+
			"be published (lxc-copy -B btrfs, or -B dir, makes one)", ErrUnsuitable, c.rootfs)
	}
	for _, dir := range append([]string{r.dir}, r.lower...) {
		if !filepath.IsAbs(dir) {
			return r, fmt.Errorf("%w: its root filesystem %q is not an absolute path", ErrUnsuitable, c.rootfs)
		}
	}
	return r, nil
}
