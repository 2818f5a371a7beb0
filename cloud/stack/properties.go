package stack

import (
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// place is where properties stand: each place has keys of its own besides.
type place int

const (
	inDefaults place = iota
	inProfile
	inRole
	inGroup
	inServer
)

// properties are what can be said of a server; nil and empty are unsaid.
type properties struct {
	image, arch, size *string
	disk              *int64
	public, uefi      *bool
	volumes           []Volume
	ports             []Port
	parts             []Part

	profiles []named1 // of roles, groups and servers; what a profile inherits
	role     *named1
	members  []named1 // of groups
	address  *netip.Addr
	at       value

	after           []named1
	count, min, max *int
	outputs         []Output
}

// named1 is a name that refers to something, and where it stands.
type named1 struct {
	name string
	at   value
}

func (r *reader) names(v value) (out []named1) {
	r.list(v, func(v value) {
		if s := r.text(v); s != "" {
			out = append(out, named1{s, v})
		}
	})
	return out
}

func (r *reader) properties(v value, where place) (p properties) {
	p.at = v
	text := func(to **string) func(value) {
		return func(v value) {
			if s := r.text(v); s != "" {
				*to = &s
			}
		}
	}
	truth := func(to **bool) func(value) { return func(v value) { b := r.boolean(v); *to = &b } }
	count := func(to **int, least int) func(value) {
		return func(v value) { n := r.number(v, least, 1000); *to = &n }
	}
	known := map[string]func(value){
		"image":    text(&p.image),
		"size":     text(&p.size),
		"disk":     func(v value) { n := r.bytes(v, 1<<20); p.disk = &n },
		"public":   truth(&p.public),
		"uefi":     truth(&p.uefi),
		"volumes":  func(v value) { p.volumes = r.volumes(v) },
		"ports":    func(v value) { r.list(v, func(v value) { p.ports = append(p.ports, r.port(v)...) }) },
		"userData": func(v value) { p.parts = r.parts(v) },
		"arch": func(v value) {
			s := r.text(v)
			if s != "" && s != "amd64" && s != "arm64" {
				r.fault(v, "amd64 or arm64", "the architecture %q is not known", short(s))
			}
			p.arch = &s
		},
	}
	switch where {
	case inProfile:
		known["inherits"] = func(v value) { p.profiles = r.names(v) }
	case inRole, inGroup, inServer:
		known["profiles"] = func(v value) { p.profiles = r.names(v) }
		known["profile"] = known["profiles"]
	}
	switch where {
	case inRole:
		known["after"] = func(v value) { p.after = r.names(v) }
		known["count"], known["min"], known["max"] = count(&p.count, 0), count(&p.min, 0), count(&p.max, 1)
		known["outputs"] = func(v value) { p.outputs = r.outputs(v) }
	case inGroup:
		known["servers"] = func(v value) { p.members = r.names(v) }
	case inServer:
		known["role"] = func(v value) { p.role = &named1{r.text(v), v} }
		known["address"] = func(v value) { a := r.address(v); p.address = &a }
	}
	r.keys(v, known)
	return p
}

// over puts q's properties over p's.
func (p properties) over(q properties) properties {
	set(&p.image, q.image)
	set(&p.arch, q.arch)
	set(&p.size, q.size)
	set(&p.disk, q.disk)
	set(&p.public, q.public)
	set(&p.uefi, q.uefi)
	set(&p.address, q.address)
	p.volumes = slices.Clone(p.volumes)
	for _, v := range q.volumes {
		if i := slices.IndexFunc(p.volumes, func(o Volume) bool { return o.Name == v.Name }); i >= 0 {
			p.volumes[i] = v
		} else {
			p.volumes = append(p.volumes, v)
		}
	}
	p.ports = append(slices.Clone(p.ports), q.ports...)
	p.parts = append(slices.Clone(p.parts), q.parts...)
	return p
}

func set[T any](to **T, from *T) {
	if from != nil {
		*to = from
	}
}

func (r *reader) volumes(v value) (out []Volume) {
	r.list(v, func(v value) {
		x := Volume{Name: "data", Mount: "/srv"}
		r.keys(v, map[string]func(value){
			"name": func(v value) { x.Name = r.label(v, 20) },
			"size": func(v value) { x.Size = r.bytes(v, 1<<30) },
			"type": func(v value) { x.Type = r.text(v) },
			"mount": func(v value) {
				if x.Mount = r.text(v); !absolute(x.Mount) || x.Mount == "/" {
					r.fault(v, "", "%q is no directory below /", short(x.Mount))
				}
			},
		})
		if x.Size == 0 && !r.has(v.path) {
			r.fault(v, "such as size: 20GiB", "the volume's size is missing")
		}
		if slices.ContainsFunc(out, func(o Volume) bool { return o.Name == x.Name }) {
			r.fault(v, "give each a name", "there are two volumes %q", x.Name)
		}
		out = append(out, x)
	})
	return out
}

// absolute says whether s is a clean absolute path that user-data can carry.
func absolute(s string) bool {
	return strings.HasPrefix(s, "/") && path.Clean(s) == s && !strings.ContainsAny(s, "\n\r\x00 \t'\"\\$`")
}

// port reads 443, 443/tcp, 8000-8100/udp, icmp, or {port: ..., from: ...}.
func (r *reader) port(v value) []Port {
	switch v.node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		var ports []Port
		var from []netip.Prefix
		there := false
		r.keys(v, map[string]func(value){
			"port": func(v value) { there = true; r.list(v, func(v value) { ports = append(ports, r.port(v)...) }) },
			"from": func(v value) { from = r.prefixes(v) },
		})
		if !there {
			r.fault(v, "such as port: 443", "the port is missing")
		}
		for i := range ports {
			ports[i].Source = from
		}
		return ports
	}
	s := r.text(v)
	if s == "icmp" {
		return []Port{{Protocol: "icmp"}}
	}
	m := regexp.MustCompile(`^([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp))?$`).FindStringSubmatch(s)
	if m == nil {
		if v.node != nil {
			r.fault(v, "such as 443, 8000-8100/udp or icmp", "%s is no port", quoted(v, s))
		}
		return nil
	}
	from, _ := strconv.Atoi(m[1])
	to := from
	if m[2] != "" {
		to, _ = strconv.Atoi(m[2])
	}
	if from < 1 || to > 65535 || to < from {
		r.fault(v, "", "%q is no range within 1 to 65535", s)
		return nil
	}
	if m[3] == "" {
		m[3] = "tcp"
	}
	return []Port{{Protocol: m[3], From: uint16(from), To: uint16(to)}}
}

func (r *reader) outputs(v value) (out []Output) {
	for _, e := range r.entries(v) {
		o := Output{Name: e.key}
		if !dnsLabel(e.key, 40) {
			r.fault(e.at, "letters a to z, digits and hyphens", "%q cannot be an output's name", short(e.key))
			continue
		}
		file := func(v value) {
			if o.File = r.text(v); v.node != nil && !absolute(o.File) {
				r.fault(v, "", "%q is no absolute path", short(o.File))
			}
		}
		if _, ok := scalar(e.node); ok {
			file(e.value)
		} else {
			r.keys(e.value, map[string]func(value){"file": file, "secret": func(v value) { o.Secret = r.boolean(v) }})
			if o.File == "" && !r.has(e.path) {
				r.fault(e.at, "", "the output's file is missing")
			}
		}
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b Output) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// parts reads a list of {config: ...}, {script: ...}, {path: ...} and {write: ...}.
func (r *reader) parts(v value) (out []Part) {
	r.list(v, func(v value) {
		p := Part{At: v.at}
		n := 0
		r.keys(v, map[string]func(value){
			"config": func(v value) {
				n++
				if p.Config = r.any(v, 0); p.Config != nil {
					if _, ok := p.Config.(map[string]any); !ok {
						r.fault(v, "", "a cloud-config is a mapping, not %s", kindOf(v.node))
					}
				}
				r.expandable(v, p.Config)
			},
			"script": func(v value) {
				n++
				if p.Script = r.text(v); v.node != nil && !strings.HasPrefix(p.Script, "#!") {
					r.fault(v, "such as #!/bin/sh", "a script's first line begins with #!")
				}
				r.expandable(v, p.Script)
			},
			"path":  func(v value) { n++; p.Path = r.text(v) },
			"write": func(v value) { n++; p.Write = r.writeFile(v) },
		})
		if n != 1 && !r.has(v.path) {
			r.fault(v, "config, script, path or write", "a part has one content, not %d", n)
		}
		out = append(out, p)
	})
	return out
}

// expandable checks the form of references; what they name is checked when all is read.
func (r *reader) expandable(v value, x any) {
	if _, err := ExpandValue(x, func(Reference) (string, error) { return "", nil }); err != nil {
		r.fault(v, "", "%s", err)
	}
}

func (r *reader) writeFile(v value) *WriteFile {
	w := &WriteFile{Owner: "root:root", Mode: 0o644}
	content := false
	r.keys(v, map[string]func(value){
		"path": func(v value) {
			if w.Path = r.text(v); !absolute(w.Path) {
				r.fault(v, "", "%q is no absolute path", short(w.Path))
			}
		},
		"content": func(v value) { content = true; w.Content = r.text(v) },
		"source":  func(v value) { w.Source = r.text(v) },
		"expand":  func(v value) { w.Expand = r.boolean(v) },
		"owner": func(v value) {
			if w.Owner = r.text(v); !regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,30}(:[a-z_][a-z0-9_-]{0,30})?$`).MatchString(w.Owner) {
				r.fault(v, "USER or USER:GROUP", "%q is no owner", short(w.Owner))
			}
		},
		"mode": func(v value) {
			s := r.text(v)
			n, err := strconv.ParseUint(strings.TrimPrefix(s, "0o"), 8, 12)
			if err != nil {
				r.fault(v, "such as 0640", "%s is no octal mode", quoted(v, s))
			}
			w.Mode = uint32(n)
		},
	})
	switch {
	case w.Path == "" && !r.has(v.path):
		r.fault(v, "", "the path is missing")
	case content == (w.Source != "") && !r.has(v.path):
		r.fault(v, "", "a file has either content or a source")
	case w.Expand:
		r.expandable(v, w.Content)
	}
	return w
}

// profile gives the properties of a profile with those that it inherits. seen are the names on the way to it.
func (d *document) profile(r *reader, n named1, seen []string) properties {
	i := slices.IndexFunc(d.profiles, func(p named) bool { return p.name == n.name })
	switch {
	case i < 0:
		hint := ""
		if near := nearest(n.name, nameList(d.profiles)); near != "" {
			hint = "did you mean " + near + "?"
		}
		r.fault(n.at, hint, "there is no profile %q", short(n.name))
		return properties{}
	case slices.Contains(seen, n.name):
		r.fault(n.at, "", "the profile inherits itself: %s", strings.Join(append(seen, n.name), ", "))
		return properties{}
	case len(seen) >= 20:
		r.fault(n.at, "", "profiles inherit more than 20 deep")
		return properties{}
	}
	var p properties
	for _, from := range d.profiles[i].profiles {
		p = p.over(d.profile(r, from, append(slices.Clone(seen), n.name)))
		if len(p.parts) > 1000 || len(p.ports) > 1000 {
			r.fault(n.at, "", "profiles that inherit each other many times give more than 1000 parts")
			return properties{}
		}
	}
	return p.over(d.profiles[i].properties)
}

func nameList(n []named) (out []string) {
	for i := range n {
		out = append(out, n[i].name)
	}
	return out
}

// numbered is the name of a role's server.
func numbered(role string, n int) string { return fmt.Sprintf("%s-%d", role, n) }
