package definition

import (
	"encoding/base64"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"griddle/cloud/diskimage"
)

// decode fills d from the merged tree and reports what is wrong with it.
func (l *loader) decode(d *Definition, root *node) {
	l.known(root, "name", "image", "arch", "disk", "files", "outputs")
	d.Name = l.text(root, "name", "")
	d.Image = l.text(root, "image", "")
	d.Arch = l.text(root, "arch", "amd64")
	if !isName(d.Name) && root.get("name") != nil {
		l.faults.add(root.get("name").at, "the name must be 1 to 40 of a-z, 0-9 and, not first, -")
	}
	for _, k := range []string{"name", "image"} {
		if root.get(k) == nil {
			l.faults.add(root.at, "there is no %s", k)
		}
	}
	outputs := l.mapping(root, "outputs")
	if outputs == nil || len(outputs.keys) == 0 {
		l.faults.add(root.at, "there are no outputs: nothing would be made")
		return
	}
	for _, name := range slices.Sorted(slices.Values(outputs.keys)) {
		if o, ok := l.output(d, root, name, outputs.vals[name]); ok {
			d.Outputs = append(d.Outputs, o)
		}
	}
}

func (l *loader) output(d *Definition, root *node, name string, n *node) (Output, bool) {
	if !isName(name) {
		l.faults.add(n.at, "the name %s of an output must be 1 to 40 of a-z, 0-9 and, not first, -", shown(name))
	}
	if n.kind != mapping {
		l.faults.add(n.at, "an output is a mapping, not %s", n.kind)
		return Output{}, false
	}
	l.known(n, "format", "register", "disk", "files")
	m := merger{prefix: "outputs." + name + ": "}
	own, whole := &node{at: n.at, kind: mapping}, &node{at: root.at, kind: mapping}
	for _, k := range []string{"disk", "files"} {
		if v := n.get(k); v != nil {
			own.set(k, v.clone())
		}
		if v := root.get(k); v != nil {
			whole.set(k, v.clone())
		}
	}
	whole = m.over(whole, own, nil)
	d.Conflicts = append(d.Conflicts, m.conflicts...)
	before := len(l.faults.list)
	o := Output{Name: name, Register: l.text(n, "register", "")}
	o.Options.Format = diskimage.Format(l.oneOf(n, "format", "qcow2", "raw", "vhd", "vmdk", "tree"))
	disk := l.mapping(whole, "disk")
	if disk == nil {
		disk = &node{at: n.at, kind: mapping}
	}
	l.disk(&o.Options, disk)
	if files := l.mapping(whole, "files"); files != nil {
		for _, p := range slices.Sorted(slices.Values(files.keys)) {
			l.layOver(&o.Options, p, files.vals[p])
		}
	}
	return o, len(l.faults.list) == before
}

func (l *loader) disk(o *diskimage.Options, n *node) {
	l.known(n, "filesystem", "size", "title", "args", "dropDevices")
	o.Filesystem = diskimage.Filesystem(l.oneOf(n, "filesystem", "ext4", "btrfs"))
	o.Title = l.text(n, "title", "")
	for _, a := range l.texts(n, "args") {
		o.Args = append(o.Args, a.text)
	}
	o.DropDevices = l.boolean(n, "dropDevices")
	if v := n.get("size"); v != nil {
		size, ok := parseSize(v.text)
		if !ok || size > diskimage.MaxSize || size%(1<<20) != 0 || v.kind != text && v.kind != number {
			l.faults.add(v.at, "the size must be a multiple of 1 MiB up to 2 TiB, in bytes or as 512MiB, 4GiB, 1TiB")
		}
		o.Size = size
	}
}

// layOver reads a file that is laid over the image.
func (l *loader) layOver(o *diskimage.Options, name string, n *node) {
	if n.kind != mapping {
		l.faults.add(n.at, "the file %s is a mapping, not %s", shown(name), n.kind)
		return
	}
	l.known(n, append(contents[:], "mode", "owner")...)
	f := diskimage.File{Path: name, Mode: 0o644}
	if path.Clean(name) != name || !strings.HasPrefix(name, "/") || name == "/" {
		l.faults.add(n.at, "the path %s is not absolute, or not in its shortest form", shown(name))
	}
	given := 0
	for _, k := range contents {
		if n.get(k) != nil {
			given++
		}
	}
	if given != 1 {
		l.faults.add(n.at, "the file %s needs one of %s, and has %d of them", shown(name), strings.Join(contents[:], ", "), given)
	}
	switch {
	case n.get("content") != nil:
		f.Content = []byte(l.text(n, "content", ""))
	case n.get("base64") != nil:
		b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(l.text(n, "base64", "")), ""))
		if err != nil {
			l.faults.add(n.get("base64").at, "this is no base64: %v", err)
		}
		f.Content = b
	case n.get("source") != nil:
		b, err := l.read(l.text(n, "source", ""), maxSource-l.bytes)
		if err != nil {
			l.faults.add(n.get("source").at, "%v", err)
		}
		l.bytes += int64(len(b))
		f.Content = b
	case n.get("link") != nil:
		if f.Link = l.text(n, "link", ""); f.Link == "" {
			l.faults.add(n.get("link").at, "a link needs a target")
		}
		f.Mode = 0o777
	case n.get("directory") != nil:
		if f.Dir, f.Mode = l.boolean(n, "directory"), 0o755; !f.Dir {
			l.faults.add(n.get("directory").at, "directory can only be true")
		}
	}
	if v := n.get("mode"); v != nil {
		mode, err := strconv.ParseUint(strings.TrimPrefix(v.text, "0o"), 8, 32)
		if err != nil || mode > 0o7777 || v.kind != text && v.kind != number {
			l.faults.add(v.at, "the mode must be octal, 0 to 7777")
		}
		f.Mode = uint32(mode)
	}
	if v := n.get("owner"); v != nil {
		user, group, ok := strings.Cut(v.text, ":")
		uid, e1 := strconv.ParseUint(user, 10, 32)
		gid, e2 := strconv.ParseUint(group, 10, 32)
		if !ok || e1 != nil || e2 != nil || uid == math.MaxUint32 || gid == math.MaxUint32 || v.kind != text {
			l.faults.add(v.at, "the owner must be the numbers of user and group: 0:0")
		}
		f.UID, f.GID = int(uid), int(gid)
	}
	o.Files = append(o.Files, f)
}

// known reports keys that nobody reads.
func (l *loader) known(n *node, keys ...string) {
	for _, k := range n.keys {
		if !slices.Contains(keys, k) {
			l.faults.add(n.vals[k].at, "%s is not known here; known are %s", shown(k), strings.Join(keys, ", "))
		}
	}
}

func (l *loader) mapping(n *node, key string) *node {
	v := n.get(key)
	if v == nil || v.kind == null {
		return nil
	}
	if v.kind != mapping {
		l.faults.add(v.at, "%s must be a mapping, not %s", key, v.kind)
		return nil
	}
	return v
}

func (l *loader) text(n *node, key, otherwise string) string {
	v := n.get(key)
	if v == nil {
		return otherwise
	}
	if v.kind != text {
		l.faults.add(v.at, "%s must be a text, not %s", key, v.kind)
	}
	return v.text
}

func (l *loader) boolean(n *node, key string) bool {
	v := n.get(key)
	if v == nil {
		return false
	}
	if v.kind != boolean {
		l.faults.add(v.at, "%s must be true or false, not %s", key, v.kind)
	}
	return v.text == "true"
}

// oneOf reads a choice; the first is the default.
func (l *loader) oneOf(n *node, key string, choices ...string) string {
	s := l.text(n, key, choices[0])
	if !slices.Contains(choices, s) {
		l.faults.add(n.get(key).at, "%s must be one of %s", key, strings.Join(choices, ", "))
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
