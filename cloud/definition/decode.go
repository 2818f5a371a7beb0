package definition

import (
	"encoding/base64"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"griddle/cloud/diskimage"
	"griddle/cloud/yamltree"
)

// decode fills d from the merged tree and reports what is wrong with it.
func (l *loader) decode(d *Definition, root *yamltree.Node) {
	l.known(root, "name", "image", "arch", "disk", "files", "outputs")
	d.Name = l.text(root, "name", "")
	d.Image = l.text(root, "image", "")
	d.Arch = l.text(root, "arch", "amd64")
	if !isName(d.Name) && root.Find("name") != nil {
		l.wrong(root.Find("name").At, "the name must be 1 to 40 of a-z, 0-9 and, not first, -")
	}
	for _, k := range []string{"name", "image"} {
		if root.Find(k) == nil {
			l.wrong(root.At, "the key %s is missing", k)
		}
	}
	outputs := l.mapping(root, "outputs")
	if outputs == nil || len(outputs.Names()) == 0 {
		l.wrong(root.At, "the key outputs is missing or empty: nothing would be made")
		return
	}
	for _, name := range slices.Sorted(slices.Values(outputs.Names())) {
		if o, ok := l.output(d, root, name, outputs.Find(name)); ok {
			d.Outputs = append(d.Outputs, o)
		}
	}
}

func (l *loader) output(d *Definition, root *yamltree.Node, name string, n *yamltree.Node) (Output, bool) {
	if !isName(name) {
		l.wrong(n.At, "the name %s of an output must be 1 to 40 of a-z, 0-9 and, not first, -", yamltree.Short(name))
	}
	if n.Kind != yamltree.Mapping {
		l.wrong(n.At, "an output is a mapping, not %s", n.Is())
		return Output{}, false
	}
	l.known(n, "format", "register", "disk", "files")
	m := merger{prefix: "outputs." + name + ": "}
	own, whole := &yamltree.Node{At: n.At, Kind: yamltree.Mapping}, &yamltree.Node{At: root.At, Kind: yamltree.Mapping}
	for _, k := range []string{"disk", "files"} {
		if v := n.Find(k); v != nil {
			set(own, k, clone(v))
		}
		if v := root.Find(k); v != nil {
			set(whole, k, clone(v))
		}
	}
	whole = m.over(whole, own, nil)
	d.Conflicts = append(d.Conflicts, m.conflicts...)
	before := len(l.faults)
	o := Output{Name: name, Register: l.text(n, "register", "")}
	o.Options.Format = diskimage.Format(l.oneOf(n, "format", "qcow2", "raw", "vhd", "vmdk", "tree"))
	disk := l.mapping(whole, "disk")
	if disk == nil {
		disk = &yamltree.Node{At: n.At, Kind: yamltree.Mapping}
	}
	l.disk(&o.Options, disk)
	if files := l.mapping(whole, "files"); files != nil {
		for _, p := range slices.Sorted(slices.Values(files.Names())) {
			l.layOver(&o.Options, p, files.Find(p))
		}
	}
	return o, len(l.faults) == before
}

func (l *loader) disk(o *diskimage.Options, n *yamltree.Node) {
	l.known(n, "filesystem", "size", "title", "args", "dropDevices")
	o.Filesystem = diskimage.Filesystem(l.oneOf(n, "filesystem", "ext4", "btrfs"))
	o.Title = l.text(n, "title", "")
	for _, a := range l.texts(n, "args") {
		o.Args = append(o.Args, a.Raw)
	}
	o.DropDevices = l.boolean(n, "dropDevices")
	if v := n.Find("size"); v != nil {
		size, ok := parseSize(v.Raw)
		if !ok || size > diskimage.MaxSize || size%(1<<20) != 0 || v.Kind != yamltree.Text && v.Kind != yamltree.Int {
			l.wrong(v.At, "the size must be a multiple of 1 MiB up to 2 TiB, in bytes or as 512MiB, 4GiB, 1TiB")
		}
		o.Size = size
	}
}

// layOver reads a file that is laid over the image.
func (l *loader) layOver(o *diskimage.Options, name string, n *yamltree.Node) {
	if n.Kind != yamltree.Mapping {
		l.wrong(n.At, "the file %s is a mapping, not %s", yamltree.Short(name), n.Is())
		return
	}
	l.known(n, append(contents[:], "mode", "owner")...)
	f := diskimage.File{Path: name, Mode: 0o644}
	if path.Clean(name) != name || !strings.HasPrefix(name, "/") || name == "/" {
		l.wrong(n.At, "the path %s is not absolute, or not in its shortest form", yamltree.Short(name))
	}
	given := 0
	for _, k := range contents {
		if n.Find(k) != nil {
			given++
		}
	}
	if given != 1 {
		l.wrong(n.At, "the file %s needs one of %s, and has %d of them", yamltree.Short(name),
			strings.Join(contents[:], ", "), given)
	}
	switch {
	case n.Find("content") != nil:
		f.Content = []byte(l.text(n, "content", ""))
	case n.Find("base64") != nil:
		b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(l.text(n, "base64", "")), ""))
		if err != nil {
			l.wrong(n.Find("base64").At, "this is not base64: %v", err)
		}
		f.Content = b
	case n.Find("source") != nil:
		b, err := l.read(l.text(n, "source", ""), maxSource-l.bytes)
		if err != nil {
			l.wrong(n.Find("source").At, "%v", err)
		}
		l.bytes += int64(len(b))
		f.Content = b
	case n.Find("link") != nil:
		if f.Link = l.text(n, "link", ""); f.Link == "" {
			l.wrong(n.Find("link").At, "a link needs a target")
		}
		f.Mode = 0o777
	case n.Find("directory") != nil:
		if f.Dir, f.Mode = l.boolean(n, "directory"), 0o755; !f.Dir {
			l.wrong(n.Find("directory").At, "directory can only be true")
		}
	}
	if v := n.Find("mode"); v != nil {
		mode, err := strconv.ParseUint(strings.TrimPrefix(v.Raw, "0o"), 8, 32)
		if err != nil || mode > 0o7777 || v.Kind != yamltree.Text && v.Kind != yamltree.Int {
			l.wrong(v.At, "the mode must be octal, 0 to 7777")
		}
		f.Mode = uint32(mode)
	}
	if v := n.Find("owner"); v != nil {
		user, group, ok := strings.Cut(v.Raw, ":")
		uid, e1 := strconv.ParseUint(user, 10, 32)
		gid, e2 := strconv.ParseUint(group, 10, 32)
		if !ok || e1 != nil || e2 != nil || uid == math.MaxUint32 || gid == math.MaxUint32 || v.Kind != yamltree.Text {
			l.wrong(v.At, "the owner must be the numbers of user and group: 0:0")
		}
		f.UID, f.GID = int(uid), int(gid)
	}
	o.Files = append(o.Files, f)
}

// known reports keys that are not among those.
func (l *loader) known(n *yamltree.Node, keys ...string) {
	for _, k := range n.Names() {
		if !slices.Contains(keys, k) {
			l.wrong(n.Find(k).At, "the key %s is unknown; known are %s", yamltree.Short(k), strings.Join(keys, ", "))
		}
	}
}

func (l *loader) mapping(n *yamltree.Node, key string) *yamltree.Node {
	v := n.Find(key)
	if v == nil || v.Kind == yamltree.Null {
		return nil
	}
	if v.Kind != yamltree.Mapping {
		l.wrong(v.At, "%s must be a mapping, not %s", key, v.Is())
		return nil
	}
	return v
}

func (l *loader) text(n *yamltree.Node, key, otherwise string) string {
	v := n.Find(key)
	if v == nil {
		return otherwise
	}
	if v.Kind != yamltree.Text {
		l.wrong(v.At, "%s must be text, not %s", key, v.Is())
	}
	return v.Raw
}

func (l *loader) boolean(n *yamltree.Node, key string) bool {
	v := n.Find(key)
	if v == nil {
		return false
	}
	if v.Kind != yamltree.Bool {
		l.wrong(v.At, "%s must be true or false, not %s", key, v.Is())
	}
	return v.Kind == yamltree.Bool && v.Value == true
}

// oneOf reads a choice; the first is the default.
func (l *loader) oneOf(n *yamltree.Node, key string, choices ...string) string {
	s := l.text(n, key, choices[0])
	if !slices.Contains(choices, s) {
		l.wrong(n.Find(key).At, "%s must be one of %s", key, strings.Join(choices, ", "))
	}
	return s
}

func isName(s string) bool {
	return s != "" && len(s) <= 40 && s[0] != '-' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// parseSize reads bytes with a binary unit.
func parseSize(s string) (int64, bool) {
	unit := int64(1)
	for suffix, u := range map[string]int64{"MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			s, unit = strings.TrimSpace(rest), u
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64/unit {
		return 0, false
	}
	return n * unit, true
}
