package definition

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Load reads the definition in the file name of fsys, with all that it includes, and uses the named profiles behind its own. A
// definition that cannot be used gives an error that lists every fault (errors.Join of *Fault).
func Load(fsys fs.FS, name string, profiles ...string) (*Definition, error) {
	l := loader{fsys: fsys}
	root := l.file(name, Place{File: name, Line: 1, Column: 1}, nil)
	if err := l.faults.err(); err != nil {
		return nil, fmt.Errorf("reading definition %s: %w", name, err)
	}
	d := &Definition{Sources: l.sources}
	used := l.texts(root, "use")
	for _, p := range profiles {
		used = append(used, &node{at: Place{"the command", 1, 1}, kind: text, text: p})
	}
	all := root.get("profiles")
	for _, k := range []string{"use", "profiles"} {
		root.remove(k)
	}
	for _, p := range used {
		root = l.profile(d, root, all, p, nil)
	}
	d.Conflicts = l.merge.conflicts
	l.decode(d, root)
	if err := l.faults.err(); err != nil {
		return nil, fmt.Errorf("reading definition %s: %w", name, err)
	}
	return d, nil
}

type loader struct {
	fsys    fs.FS
	faults  faults
	merge   merger
	sources []string
	bytes   int64 // of sources of files, so far
}

// file returns a file with what it includes beneath it.
func (l *loader) file(name string, from Place, above []string) *node {
	if slices.Contains(above, name) {
		l.faults.add(from, "%s includes itself, by way of %s", shown(name), strings.Join(above, ", "))
		return nil
	}
	if len(l.sources) >= maxSources || len(above) > maxDepth {
		l.faults.add(from, "more than %d files, or %d above one another", maxSources, maxDepth)
		return nil
	}
	b, err := l.read(name, maxFile)
	if err != nil {
		l.faults.add(from, "%v", err)
		return nil
	}
	n := parse(name, b, &l.faults)
	if n == nil {
		l.sources = append(l.sources, name)
		return nil
	}
	l.absolute(n, path.Dir(name))
	base := &node{at: n.at, kind: mapping}
	for _, i := range l.texts(n, "include") {
		if below := l.file(path.Join(path.Dir(name), i.text), i.at, append(slices.Clone(above), name)); below != nil {
			base = l.merge.over(base, below, nil)
		}
	}
	n.remove("include")
	l.sources = append(l.sources, name)
	return l.merge.over(base, n, nil)
}

// absolute makes the sources of files relative to fsys: what is merged forgets which file it is from.
func (l *loader) absolute(n *node, dir string) {
	files := func(of *node) {
		if f := of.get("files"); f != nil && f.kind == mapping {
			for _, k := range f.keys {
				if s := f.vals[k].get("source"); s != nil && s.kind == text {
					s.text = path.Join(dir, s.text)
				}
			}
		}
	}
	files(n)
	for _, group := range []string{"profiles", "outputs"} {
		g := n.get(group)
		if g == nil || g.kind != mapping {
			continue
		}
		for _, k := range g.keys {
			if group == "profiles" {
				l.absolute(g.vals[k], dir)
			}
			files(g.vals[k])
		}
	}
}

// profile lays a profile over root, behind those that it inherits. One that was used before is not used again.
func (l *loader) profile(d *Definition, root, all, name *node, above []string) *node {
	if slices.Contains(d.Profiles, name.text) {
		return root
	}
	p := all.get(name.text)
	switch {
	case slices.Contains(above, name.text):
		l.faults.add(name.at, "profile %s inherits itself, by way of %s", shown(name.text), strings.Join(above, ", "))
		return root
	case p == nil:
		var have []string
		if all != nil {
			have = all.keys
		}
		l.faults.add(name.at, "there is no profile %s; there are: %s", shown(name.text), strings.Join(have, ", "))
		return root
	case p.kind != mapping:
		l.faults.add(p.at, "a profile is a mapping, not %s", p.kind)
		return root
	}
	for _, i := range l.texts(p, "inherit") {
		root = l.profile(d, root, all, i, append(slices.Clone(above), name.text))
	}
	for _, k := range []string{"name", "include", "use", "profiles"} {
		if v := p.get(k); v != nil {
			l.faults.add(v.at, "a profile has no %s", k)
		}
	}
	d.Profiles = append(d.Profiles, name.text)
	p = p.clone()
	p.remove("inherit")
	return l.merge.over(root, p, nil)
}

// texts reads a list of texts; a text alone is one as well.
func (l *loader) texts(n *node, key string) []*node {
	v := n.get(key)
	if v == nil || v.kind == null {
		return nil
	}
	if v.kind == text {
		return []*node{v}
	}
	if v.kind != list {
		l.faults.add(v.at, "%s must be a list of texts, not %s", key, v.kind)
		return nil
	}
	var out []*node
	for _, e := range v.list {
		if e.kind != text && e.kind != number {
			l.faults.add(e.at, "%s must be a list of texts; this is %s", key, e.kind)
			continue
		}
		out = append(out, e)
	}
	return out
}

// read reads a whole file that has at most limit bytes.
func (l *loader) read(name string, limit int64) ([]byte, error) {
	if !fs.ValidPath(name) {
		return nil, fmt.Errorf("the path %s leads out of the folder of definitions", shown(name))
	}
	f, err := l.fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", shown(name))
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = errors.New("too large")
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", shown(name), err)
	}
	return b, nil
}
