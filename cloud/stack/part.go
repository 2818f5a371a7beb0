package stack

import (
	"strconv"
	"strings"

	"griddle/cloud/yamltree"
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
	at   yamltree.Place
	path string
}

// userData reads a list of parts.
func (p *parsing) userData(n *yamltree.Node, path string) []*piece {
	var out []*piece
	p.List(n, path, maxParts, func(n *yamltree.Node, path string) {
		x := &piece{Part: Part{At: n.At}, path: path}
		p.Object(n, path, "part", []yamltree.Field{
			yamltree.Key("config", func(n *yamltree.Node, path string) {
				if p.Want(n, path, yamltree.Mapping, "a mapping, as in cloud-config") {
					x.Config = n.Plainly()
					n.Texts(func(at yamltree.Place, s string) { p.used(x, at, path, s) })
				}
			}),
			yamltree.Key("script", func(n *yamltree.Node, path string) {
				if !p.Want(n, path, yamltree.Text, "a script") {
					return
				}
				x.Script = n.Value.(string)
				if !strings.HasPrefix(x.Script, "#!") {
					p.Wrong(n.At, path, "such as #!/bin/sh", "a script must start with #!")
				}
				p.used(x, n.At, path, x.Script)
			}),
			yamltree.Key("path", func(n *yamltree.Node, path string) { x.Path = p.local(n, path) }),
			yamltree.Key("write", func(n *yamltree.Node, path string) { p.write(x, n, path) }),
		})
		p.oneOf(n, path, "config", "script", "path", "write")
		out = append(out, x)
	})
	return out
}

func (p *parsing) write(x *piece, n *yamltree.Node, path string) {
	w := &WriteFile{Owner: "root:root", Mode: 0o644}
	x.Write = w
	var content *yamltree.Node
	p.Object(n, path, "write", []yamltree.Field{
		yamltree.Key("path", func(n *yamltree.Node, path string) { w.Path = p.remote(n, path) }),
		yamltree.Key("content", func(n *yamltree.Node, path string) {
			if p.Want(n, path, yamltree.Text, "text") {
				w.Content, content = n.Value.(string), n
			}
		}),
		yamltree.Key("source", func(n *yamltree.Node, path string) { w.Source = p.local(n, path) }),
		yamltree.Key("owner", func(n *yamltree.Node, path string) {
			w.Owner = p.Checked(n, path, "an owner such as www-data:www-data", 65, func(s string) bool {
				user, group, ok := strings.Cut(s, ":")
				return owner(user) && (!ok || owner(group))
			})
			if !strings.Contains(w.Owner, ":") {
				w.Owner += ":" + w.Owner
			}
		}),
		yamltree.Key("mode", func(n *yamltree.Node, path string) { w.Mode = p.mode(n, path) }),
		yamltree.Key("expand", func(n *yamltree.Node, path string) { w.Expand = p.Boolean(n, path) }),
	}, "path")
	p.oneOf(n, path, "content", "source")
	if w.Expand && content != nil {
		p.used(x, content.At, yamltree.Below(path, "content"), w.Content)
	}
}

// owner is the name or the number of a user or group.
func owner(s string) bool { return account(s) || s != "" && strings.Trim(s, "0123456789") == "" }

// mode reads permission bits, which are octal whether they are in quotes or not.
func (p *parsing) mode(n *yamltree.Node, path string) uint32 {
	const what = "permission bits such as 0644"
	if n.Kind != yamltree.Int && !p.Want(n, path, yamltree.Text, what) {
		return 0
	}
	digits := strings.TrimPrefix(n.Raw, "0o")
	if v, err := strconv.ParseUint(digits, 8, 32); err == nil && v <= 0o7777 && (n.Raw[0] == '0' && len(n.Raw) >= 4) {
		return uint32(v)
	}
	hint := ""
	if len(n.Raw) == 3 && strings.Trim(n.Raw, "01234567") == "" {
		hint = "write 0" + n.Raw
	}
	p.Wrong(n.At, path, hint, "%s is not %s", yamltree.Short(n.Raw), what)
	return 0
}

// used notes what a text of a part refers to.
func (p *parsing) used(x *piece, at yamltree.Place, path, s string) {
	refs, err := References(s)
	if err != nil {
		p.Wrong(at, path, "for a plain ${ write $${", "%s", err)
	}
	for _, ref := range refs {
		x.uses = append(x.uses, use{ref, at, path})
	}
}
