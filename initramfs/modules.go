package initramfs

import (
	"bufio"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// Tree is what depmod wrote about a kernel's modules (modules.dep(5), and the comments at the top of each file).
type Tree struct {
	Deps  map[string][]string // path below lib/modules/RELEASE -> paths of what it needs, all of them
	Soft  map[string][]string // module name -> names and aliases that it asks for without linking to them
	Alias map[string][]string // alias without wildcards -> module names
}

// ParseTree reads modules.dep, modules.softdep and modules.alias.
func ParseTree(dep, softdep, alias io.Reader) (*Tree, error) {
	t := &Tree{Deps: map[string][]string{}, Soft: map[string][]string{}, Alias: map[string][]string{}}
	err := lines(dep, func(line string) error {
		name, deps, ok := strings.Cut(line, ":")
		if !ok {
			return fmt.Errorf("modules.dep: no colon in %q", line)
		}
		t.Deps[name] = strings.Fields(deps)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = lines(softdep, func(line string) error {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "softdep" {
			return fmt.Errorf("modules.softdep: %q", line)
		}
		for _, s := range f[2:] {
			if s != "pre:" && s != "post:" {
				t.Soft[f[1]] = append(t.Soft[f[1]], s)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return t, lines(alias, func(line string) error {
		f := strings.Fields(line)
		if len(f) != 3 || f[0] != "alias" {
			return fmt.Errorf("modules.alias: %q", line)
		}
		if !strings.ContainsAny(f[1], "*?[") {
			t.Alias[f[1]] = append(t.Alias[f[1]], f[2])
		}
		return nil
	})
}

func lines(r io.Reader, f func(string) error) error {
	s := bufio.NewScanner(r)
	for s.Scan() {
		if line := s.Text(); line != "" && line[0] != '#' {
			if err := f(line); err != nil {
				return err
			}
		}
	}
	return s.Err()
}

// ModuleName is the kernel's name of the module at p: "kernel/lib/crc-itu-t.ko" is crc_itu_t.
func ModuleName(p string) string {
	name, _, _ := strings.Cut(path.Base(p), ".")
	return strings.ReplaceAll(name, "-", "_")
}

// Choice selects modules. A pattern is a path below lib/modules/RELEASE. If it ends in a slash, it matches everything
// below, else one file without its suffix.
type Choice struct {
	Take  []string
	Leave []string // stronger than Take, weaker than what a taken module needs

	Lenient bool // a pattern of Take may match nothing
}

// Select returns the sorted paths of the modules that c selects, of all modules that they link to, and of their soft
// dependencies if the tree has them. A pattern of Take that matches nothing is an error unless Choice.Lenient is true;
// otherwise no one would notice it with the next kernel.
func (t *Tree) Select(c Choice) ([]string, error) {
	byName := map[string]string{}
	for p := range t.Deps {
		byName[ModuleName(p)] = p
	}
	chosen := map[string]bool{}
	var add func(p string)
	add = func(p string) {
		if chosen[p] {
			return
		}
		chosen[p] = true
		for _, d := range t.Deps[p] {
			add(d)
		}
		for _, s := range t.Soft[ModuleName(p)] {
			for _, name := range append([]string{strings.ReplaceAll(s, "-", "_")}, t.Alias[s]...) {
				if q, ok := byName[name]; ok {
					add(q)
				}
			}
		}
	}
	for _, pattern := range c.Take {
		found := false
		for p := range t.Deps {
			if match(pattern, p) {
				found = true
				if !slices.ContainsFunc(c.Leave, func(l string) bool { return match(l, p) }) {
					add(p)
				}
			}
		}
		if !found && !c.Lenient {
			return nil, fmt.Errorf("selecting modules: no module of this kernel matches %q", pattern)
		}
	}
	out := make([]string, 0, len(chosen))
	for p := range chosen {
		out = append(out, p)
	}
	slices.Sort(out)
	return out, nil
}

func match(pattern, p string) bool {
	if strings.HasSuffix(pattern, "/") {
		return strings.HasPrefix(p, pattern)
	}
	rest, ok := strings.CutPrefix(p, pattern)
	return ok && strings.HasPrefix(rest, ".ko")
}

// Keep returns the lines of modules.alias or modules.softdep about the modules at paths, sorted, so that the tables in
// the image name only modules in the image.
func Keep(table io.Reader, paths []string) (string, error) {
	in := map[string]bool{}
	for _, p := range paths {
		in[ModuleName(p)] = true
	}
	var out []string
	err := lines(table, func(line string) error {
		f := strings.Fields(line)
		if len(f) >= 3 && (f[0] == "alias" && in[f[2]] || f[0] == "softdep" && in[f[1]]) {
			out = append(out, line+"\n")
		}
		return nil
	})
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ""), err
}
