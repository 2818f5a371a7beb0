// Package kmod loads kernel modules as modprobe(8) does: by name or by what a device calls its driver, with soft
// dependencies, and with the options and the blacklist from the kernel's command line.
//
// Call New first and LoadAlias for each device; Modprobe is the whole program that the kernel calls. The tables are
// depmod's: modules.alias, modules.softdep and modules.dep (modules.dep(5), modprobe.d(5)). No module is tried twice by
// one Loader.
package kmod

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/u-root/u-root/pkg/kmodule"
	"golang.org/x/sys/unix"
)

// aliases maps what a device or the kernel calls a driver to modules (modules.alias, modules.softdep). u-root's
// kmodule loads modules by name with what they link to; names that are patterns, and soft dependencies, are ours.
type aliases struct {
	exact    map[string][]string
	patterns []pattern
	soft     map[string][]string // module -> names or aliases to try first
}

type pattern struct{ glob, module string }

func parseAliases(alias, softdep io.Reader) (*aliases, error) {
	a := &aliases{exact: map[string][]string{}, soft: map[string][]string{}}
	s := bufio.NewScanner(alias)
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) != 3 || f[0] != "alias" {
			continue
		}
		if strings.ContainsAny(f[1], "*?[") {
			a.patterns = append(a.patterns, pattern{f[1], f[2]})
		} else {
			a.exact[f[1]] = append(a.exact[f[1]], f[2])
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("reading modules.alias: %w", err)
	}
	s = bufio.NewScanner(softdep)
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) < 3 || f[0] != "softdep" {
			continue
		}
		pre := true // a list without a heading counts as one to load first
		for _, name := range f[2:] {
			switch name {
			case "pre:":
				pre = true
			case "post:":
				pre = false
			default:
				if pre {
					a.soft[f[1]] = append(a.soft[f[1]], name)
				}
			}
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("reading modules.softdep: %w", err)
	}
	return a, nil
}

// modules lists the modules that serve alias, each once.
func (a *aliases) modules(alias string) []string {
	out := append([]string(nil), a.exact[alias]...)
	seen := map[string]bool{}
	for _, m := range out {
		seen[m] = true
	}
	for _, p := range a.patterns {
		if seen[p.module] {
			continue
		}
		if ok, err := path.Match(p.glob, alias); err == nil && ok {
			seen[p.module] = true
			out = append(out, p.module)
		}
	}
	return out
}

// Loader loads modules of the running kernel: New makes one. One goroutine uses it at a time. A module that failed once
// is not tried again.
type Loader struct {
	aliases *aliases
	options moduleOptions
	deps    map[string][]string // module -> all that it links to
	probe   func(name, params string) error
	tried   map[string]bool
}

// New reads the tables of the running kernel in /lib/modules, and the options in /proc/cmdline. It fails where one of
// them cannot be read.
func New() (*Loader, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return nil, fmt.Errorf("asking for the kernel's release: %w", err)
	}
	dir := filepath.Join("/lib/modules", unix.ByteSliceToString(u.Release[:]))
	alias, err := os.Open(filepath.Join(dir, "modules.alias"))
	if err != nil {
		return nil, fmt.Errorf("reading module tables: %w", err)
	}
	defer alias.Close()
	softdep, err := os.Open(filepath.Join(dir, "modules.softdep"))
	if err != nil {
		return nil, fmt.Errorf("reading module tables: %w", err)
	}
	defer softdep.Close()
	a, err := parseAliases(alias, softdep)
	if err != nil {
		return nil, err
	}
	dep, err := os.Open(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return nil, fmt.Errorf("reading module tables: %w", err)
	}
	defer dep.Close()
	deps, err := parseDependencies(dep)
	if err != nil {
		return nil, err
	}
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, fmt.Errorf("reading the options of modules: %w", err)
	}
	p, err := kmodule.NewProber(kmodule.ProbeOpts{})
	if err != nil {
		return nil, fmt.Errorf("reading module tables: %w", err)
	}
	probe := func(name, params string) error {
		if err := p.Probe(name, params); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
		return await(func() ([]byte, error) { return os.ReadFile("/proc/modules") }, name, time.Sleep)
	}
	return &Loader{aliases: a, options: parseModuleOptions(string(cmdline)), deps: deps, probe: probe,
		tried: map[string]bool{}}, nil
}

// load loads the module called name, with its options from the kernel's command line. Before it come what it asks for
// softly, and what it links to where that has options too (the prober loads the rest without any); failures of
// those do not count.
func (l *Loader) load(name string) error {
	name = moduleName(name)
	if l.tried[name] {
		return nil
	}
	l.tried[name] = true
	for _, s := range l.aliases.soft[name] {
		for _, m := range append(l.aliases.modules(s), s) {
			_ = l.load(m)
		}
	}
	for _, m := range l.deps[name] {
		if l.options.params[m] != "" {
			_ = l.load(m)
		}
	}
	if err := l.probe(name, l.options.params[name]); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("loading %s: %w", name, err)
	}
	return nil
}

// LoadAlias loads whatever serves alias and returns the names of the modules that are loaded now and were not tried
// before. It skips modules on the blacklist. The error joins those of the modules that did not load.
func (l *Loader) LoadAlias(alias string) (loaded []string, err error) {
	var errs []error
	for _, m := range l.aliases.modules(alias) {
		if l.tried[m] || l.options.blacklist[m] {
			continue
		}
		if err := l.load(m); err != nil {
			errs = append(errs, err)
			continue
		}
		loaded = append(loaded, m)
	}
	return loaded, errors.Join(errs...)
}

// Modprobe is what the kernel runs when it wants a module: "/sbin/modprobe -q -- NAME" (kernel/kmod.c), where NAME
// may be an alias such as "crypto-crc32c". Of several modules that serve an alias, one that loads is enough; it fails
// where none does, or where the blacklist has them all.
func Modprobe(args []string) error {
	l, err := New()
	if err != nil {
		return err
	}
	var names []string
	for _, a := range args {
		if !strings.HasPrefix(a, "-") {
			names = append(names, a)
		}
	}
	if len(names) == 0 {
		return errors.New("usage: modprobe [-q] [--] NAME")
	}
	serving := l.aliases.modules(names[0])
	if len(serving) > 0 {
		serving = slices.DeleteFunc(serving, func(m string) bool { return l.options.blacklist[m] })
		if len(serving) == 0 {
			return fmt.Errorf("loading %s: modprobe.blacklist on the kernel's command line forbids all its modules",
				names[0])
		}
	}
	if len(serving) == 0 {
		return l.load(names[0])
	}
	loaded := false
	var errs []error
	for _, m := range serving {
		err := l.load(m)
		loaded = loaded || err == nil
		errs = append(errs, err)
	}
	if loaded {
		return nil // one of several drivers of an algorithm is enough
	}
	return errors.Join(errs...)
}
