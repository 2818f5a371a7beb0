package stack

import (
	"strconv"
	"strings"
)

// maxParts bounds the user-data parts that one server gets.
const maxParts = 256

// piece is a part with what it refers to.
type piece struct {
	Part
	path string
	uses []use
}

// use is one reference in a part; At is where the text starts that holds it.
type use struct {
	Reference
	at   Position
	path string
}

// userData reads a list of parts.
func (p *parsing) userData(n *node, path string) []*piece {
	var out []*piece
	p.list(n, path, maxParts, func(n *node, path string) {
		x := &piece{Part: Part{At: n.at}, path: path}
		p.object(n, path, "part", []field{
			{"config", func(n *node, path string) {
				if p.want(n, path, kindMapping, "a mapping, as in cloud-config") {
					x.Config = n.plain()
					n.texts(func(at Position, s string) { p.used(x, at, path, s) })
				}
			}},
			{"script", func(n *node, path string) {
				if !p.want(n, path, kindText, "a script") {
					return
				}
				x.Script = n.value.(string)
				if !strings.HasPrefix(x.Script, "#!") {
					p.wrong(n.at, path, "such as #!/bin/sh", "a script starts with #!")
				}
				p.used(x, n.at, path, x.Script)
			}},
			{"path", func(n *node, path string) { x.Path = p.local(n, path) }},
			{"write", func(n *node, path string) { p.write(x, n, path) }},
		})
		p.oneOf(n, path, "config", "script", "path", "write")
		out = append(out, x)
	})
	return out
}

func (p *parsing) write(x *piece, n *node, path string) {
	w := &WriteFile{Owner: "root:root", Mode: 0o644}
	x.Write = w
	var content *node
	p.object(n, path, "write", []field{
		{"path", func(n *node, path string) { w.Path = p.remote(n, path) }},
		{"content", func(n *node, path string) {
			if p.want(n, path, kindText, "text") {
				w.Content, content = n.value.(string), n
			}
		}},
		{"source", func(n *node, path string) { w.Source = p.local(n, path) }},
		{"owner", func(n *node, path string) {
			w.Owner = p.checked(n, path, "an owner such as www-data:www-data", 65, func(s string) bool {
				user, group, ok := strings.Cut(s, ":")
				return owner(user) && (!ok || owner(group))
			})
			if !strings.Contains(w.Owner, ":") {
				w.Owner += ":" + w.Owner
			}
		}},
		{"mode", func(n *node, path string) { w.Mode = p.mode(n, path) }},
		{"expand", func(n *node, path string) { w.Expand = p.boolean(n, path) }},
	}, "path")
	p.oneOf(n, path, "content", "source")
	if w.Expand && content != nil {
		p.used(x, content.at, below(path, "content"), w.Content)
	}
}

// owner is the name or the number of a user or group.
func owner(s string) bool { return account(s) || s != "" && strings.Trim(s, "0123456789") == "" }

// mode reads permission bits, which are octal whether they are in quotes or not.
func (r *reader) mode(n *node, path string) uint32 {
	const what = "permission bits such as 0644"
	if n.kind != kindInt && !r.want(n, path, kindText, what) {
		return 0
	}
	digits := strings.TrimPrefix(n.raw, "0o")
	if v, err := strconv.ParseUint(digits, 8, 32); err == nil && v <= 0o7777 && (n.raw[0] == '0' && len(n.raw) >= 4) {
		return uint32(v)
	}
	hint := ""
	if len(n.raw) == 3 && strings.Trim(n.raw, "01234567") == "" {
		hint = "write 0" + n.raw
	}
	r.wrong(n.at, path, hint, "%s is not %s", short(n.raw), what)
	return 0
}

// used notes what a text of a part refers to.
func (p *parsing) used(x *piece, at Position, path, s string) {
	refs, err := References(s)
	if err != nil {
		p.wrong(at, path, "write $${ for ${ itself", "%s", err)
	}
	for _, ref := range refs {
		x.uses = append(x.uses, use{ref, at, path})
	}
}
