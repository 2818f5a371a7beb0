package definition

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"griddle/cloud/yamltree"
)

// Load reads the definition in the file name of fsys, with all that it includes, and uses the named profiles behind its
// own. A definition that cannot be used gives an error that lists every fault (yamltree.Faults).
func Load(fsys fs.FS, name string, profiles ...string) (*Definition, error) {
	l := loader{fsys: fsys}
	root := l.file(name, yamltree.Place{File: name, Line: 1, Column: 1}, nil)
	if err := l.faults.Sorted().Err(); err != nil {
		return nil, fmt.Errorf("reading definition %s: %w", name, err)
	}
	d := &Definition{Sources: l.sources}
	used := l.texts(root, "use")
	for _, p := range profiles {
		used = append(used, &yamltree.Node{At: yamltree.Place{File: "the command line"}, Kind: yamltree.Text, Raw: p})
	}
	all := root.Find("profiles")
	for _, k := range []string{"use", "profiles"} {
		remove(root, k)
	}
	for _, p := range used {
		root = l.profile(d, root, all, p, nil)
	}
	d.Conflicts = l.merge.conflicts
	l.decode(d, root)
	if err := l.faults.Sorted().Err(); err != nil {
		return nil, fmt.Errorf("reading definition %s: %w", name, err)
	}
	return d, nil
}

type loader struct {
	fsys    fs.FS
	faults  yamltree.Faults
	merge   merger
	sources []string
	bytes   int64 // of sources of files, so far
}

func (l *loader) wrong(at yamltree.Place, format string, args ...any) {
	l.faults = append(l.faults, yamltree.Fault{Place: at, Text: fmt.Sprintf(format, args...)})
}

// file returns a file with what it includes beneath it.
func (l *loader) file(name string, from yamltree.Place, above []string) *yamltree.Node {
	if slices.Contains(above, name) {
		l.wrong(from, "%s includes itself, by way of %s", yamltree.Short(name), strings.Join(above, ", "))
		return nil
	}
	if len(l.sources) >= maxSources || len(above) > maxDepth {
		l.wrong(from, "more than %d files, or %d above one another", maxSources, maxDepth)
		return nil
	}
	b, err := l.read(name, maxFile)
	if err != nil {
		l.wrong(from, "%v", err)
		return nil
	}
	n := l.parse(name, b)
	if n == nil {
		l.sources = append(l.sources, name)
		return nil
	}
	l.absolute(n, path.Dir(name))
	base := &yamltree.Node{At: n.At, Kind: yamltree.Mapping}
	for _, i := range l.texts(n, "include") {
		if below := l.file(path.Join(path.Dir(name), i.Raw), i.At, append(slices.Clone(above), name)); below != nil {
			base = l.merge.over(base, below, nil)
		}
	}
	remove(n, "include")
	l.sources = append(l.sources, name)
	return l.merge.over(base, n, nil)
}

// absolute makes the sources of files relative to fsys: what is merged forgets which file it is from.
func (l *loader) absolute(n *yamltree.Node, dir string) {
	files := func(of *yamltree.Node) {
		if f := of.Find("files"); f != nil && f.Kind == yamltree.Mapping {
			for _, k := range f.Names() {
				if s := f.Find(k).Find("source"); s != nil && s.Kind == yamltree.Text {
					s.Raw = path.Join(dir, s.Raw)
				}
			}
		}
	}
	files(n)
	for _, group := range []string{"profiles", "outputs"} {
		g := n.Find(group)
		if g == nil || g.Kind != yamltree.Mapping {
			continue
		}
		for _, k := range g.Names() {
			if group == "profiles" {
				l.absolute(g.Find(k), dir)
			}
			files(g.Find(k))
		}
	}
}

// profile lays a profile over root, behind those that it inherits. One that was used before is not used again.
func (l *loader) profile(d *Definition, root, all, name *yamltree.Node, above []string) *yamltree.Node {
	if slices.Contains(d.Profiles, name.Raw) {
		return root
	}
	p := all.Find(name.Raw)
	switch {
	case slices.Contains(above, name.Raw):
		l.wrong(name.At, "profile %s inherits itself, by way of %s", yamltree.Short(name.Raw),
			strings.Join(above, ", "))
		return root
	case p == nil:
		var have []string
		if all != nil {
			have = all.Names()
		}
		l.wrong(name.At, "the profile %s does not exist; there are %s", yamltree.Short(name.Raw),
			strings.Join(have, ", "))
		return root
	case p.Kind != yamltree.Mapping:
		l.wrong(p.At, "a profile is a mapping, not %s", p.Is())
		return root
	}
	for _, i := range l.texts(p, "inherit") {
		root = l.profile(d, root, all, i, append(slices.Clone(above), name.Raw))
	}
	for _, k := range []string{"name", "include", "use", "profiles"} {
		if v := p.Find(k); v != nil {
			l.wrong(v.At, "a profile cannot have the key %s", k)
		}
	}
	d.Profiles = append(d.Profiles, name.Raw)
	p = clone(p)
	remove(p, "inherit")
	return l.merge.over(root, p, nil)
}

// texts reads a list of texts; a text alone is one as well.
func (l *loader) texts(n *yamltree.Node, key string) []*yamltree.Node {
	v := n.Find(key)
	if v == nil || v.Kind == yamltree.Null {
		return nil
	}
	if v.Kind == yamltree.Text {
		return []*yamltree.Node{v}
	}
	if v.Kind != yamltree.List {
		l.wrong(v.At, "%s must be a list of text, not %s", key, v.Is())
		return nil
	}
	var out []*yamltree.Node
	for _, e := range v.Items {
		if e.Kind != yamltree.Text && e.Kind != yamltree.Int {
			l.wrong(e.At, "%s must be a list of text; this is %s", key, e.Is())
			continue
		}
		out = append(out, e)
	}
	return out
}

// read reads a whole file that has at most limit bytes.
func (l *loader) read(name string, limit int64) ([]byte, error) {
	if !fs.ValidPath(name) {
		return nil, fmt.Errorf("the path %s leads out of the folder of definitions", yamltree.Short(name))
	}
	f, err := l.fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", yamltree.Short(name))
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = errors.New("too large")
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", yamltree.Short(name), err)
	}
	return b, nil
}
