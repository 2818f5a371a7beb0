package stack

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Parse reads a stack file. file is its name, for messages. The error is Faults.
//
//	version: 1
//	name: web
//	provider: qemu                       # or {kind: openstack, cloud: lab, region: one}
//	admin: ops
//	keys: [~/.ssh/id_ed25519.pub]        # a path, or a line of authorized_keys
//	defaults: {image: "web:stable", size: small}
//	profiles:
//	  big: {size: large, volumes: [{size: 20GiB}]}
//	roles:
//	  head:   {profiles: [big], public: true, ports: [443], outputs: {token: {file: /run/token, secret: true}}}
//	  worker: {after: [head], count: 2, max: 8, userData: [{config: {runcmd: ["join ${role.head.address}"]}}]}
//
// A property of a server comes from, each later one winning: defaults, profiles in their order (each after those that it
// inherits), role, groups, the server itself. Volumes are merged by name, ports are added, and userData is appended.
func Parse(file string, b []byte) (*Stack, error) { return ParseScaled(file, b, nil) }

// ParseScaled is Parse with other counts than the file's, by role; a role that is not in the file is left out. They must be within the role's
// min and max like the file's own.
func ParseScaled(file string, b []byte, counts map[string]int) (*Stack, error) {
	r := &reader{file: file}
	root, ok := r.parse(b)
	if !ok {
		return nil, r.faults
	}
	d := r.document(root)
	for i := range d.roles {
		if n, ok := counts[d.roles[i].name]; ok {
			d.roles[i].count = &n
		}
	}
	s := d.resolve(r)
	if len(r.faults) > 0 {
		return nil, sorted(r.faults)
	}
	return s, nil
}

// document is what a file says, before anything is resolved.
type document struct {
	root     value
	stack    Stack
	defaults properties
	profiles []named
	roles    []named
	groups   []named
	servers  []named
}

// named is properties that have a name.
type named struct {
	name string
	at   value
	properties
}

func (r *reader) document(root value) *document {
	d := &document{root: root, stack: Stack{
		Settings: Settings{Parallel: 4, Server: 15 * time.Minute, Call: 5 * time.Minute},
		Network:  Network{Prefix: netip.MustParsePrefix("10.77.0.0/24")},
		SSH:      SSH{Port: 22},
	}}
	s := &d.stack
	version := false
	r.keys(root, map[string]func(value){
		"version":  func(v value) { version = true; r.number(v, 1, 1) },
		"name":     func(v value) { s.Name = r.label(v, 30) },
		"provider": func(v value) { r.provider(v, s) },
		"settings": func(v value) { r.settings(v, &s.Settings) },
		"network":  func(v value) { r.network(v, &s.Network) },
		"admin":    func(v value) { s.Admin = r.login(v) },
		"keys":     func(v value) { s.Keys = r.sshKeys(v) },
		"users":    func(v value) { r.list(v, func(v value) { s.Users = append(s.Users, r.user(v)) }) },
		"ssh": func(v value) {
			r.keys(v, map[string]func(value){
				"port": func(v value) { s.SSH.Port = uint16(r.number(v, 1, 65535)) },
				"from": func(v value) { s.SSH.From = r.prefixes(v) },
			})
		},
		"secrets":  func(v value) { s.Secrets = r.secrets(v) },
		"userData": func(v value) { s.UserData = r.parts(v) },
		"defaults": func(v value) { d.defaults = r.properties(v, inDefaults) },
		"profiles": func(v value) { d.profiles = r.several(v, inProfile) },
		"roles":    func(v value) { d.roles = r.several(v, inRole) },
		"groups":   func(v value) { d.groups = r.several(v, inGroup) },
		"servers":  func(v value) { d.servers = r.several(v, inServer) },
	})
	if !version {
		r.fault(root, "write version: 1", "the version is missing")
	}
	if s.Name == "" && !r.has("name") {
		r.fault(root, "write name: and a word", "the name is missing")
	}
	if s.Provider == "" && !r.has("provider") {
		r.fault(root, "one of qemu, lxd, openstack, ec2", "the provider is missing")
	}
	if len(d.roles)+len(d.servers) == 0 {
		r.fault(root, "", "there are neither roles nor servers")
	}
	return d
}

// has says whether something is wrong with path already.
func (r *reader) has(path string) bool {
	return slices.ContainsFunc(r.faults, func(f Fault) bool { return f.Path == path || strings.HasPrefix(f.Path, path+".") })
}

func (r *reader) several(v value, where place) (out []named) {
	for _, e := range r.entries(v) {
		if !dnsLabel(e.key, 40) {
			r.fault(e.at, "letters a to z, digits and hyphens, at most 40", "%q cannot be a name", short(e.key))
			continue
		}
		out = append(out, named{e.key, e.at, r.properties(e.value, where)})
	}
	return out
}

// dnsLabel says whether s can be a host name (RFC 1123 section 2.1) of at most most characters.
func dnsLabel(s string, most int) bool {
	return len(s) <= most && regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`).MatchString(s)
}

func (r *reader) label(v value, most int) string {
	s := r.text(v)
	if v.node != nil && !dnsLabel(s, most) {
		if _, ok := scalar(v.node); ok {
			r.fault(v, fmt.Sprintf("letters a to z, digits and hyphens, at most %d", most), "%q cannot be a name", short(s))
		}
		return ""
	}
	return s
}

// login is a user's name, as useradd takes it.
func (r *reader) login(v value) string {
	s := r.text(v)
	switch {
	case v.node == nil:
	case s == "root":
		r.fault(v, "", "root does not log in to servers")
	case !regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,30}$`).MatchString(s):
		r.fault(v, "letters a to z, digits, _ and -, at most 31", "%q cannot be a user's name", short(s))
	default:
		return s
	}
	return ""
}

func (r *reader) provider(v value, s *Stack) {
	set := func(v value) {
		s.Provider = r.text(v)
		if known := []string{"qemu", "lxd", "openstack", "ec2"}; !slices.Contains(known, s.Provider) {
			hint := "one of " + strings.Join(known, ", ")
			if n := nearest(s.Provider, known); n != "" {
				hint = "did you mean " + n + "?"
			}
			if _, ok := scalar(v.node); ok {
				r.fault(v, hint, "the provider %q is not known", short(s.Provider))
			}
		}
	}
	switch v.node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
	default:
		set(v)
		return
	}
	s.Options = map[string]string{}
	for _, e := range r.entries(v) {
		if e.key == "kind" {
			set(e.value)
			continue
		}
		if word := strings.ToLower(e.key); strings.Contains(word, "password") || strings.Contains(word, "secret") || strings.Contains(word, "token") {
			r.fault(e.at, "the provider's own files and variables hold credentials", "credentials do not belong into a stack file")
			continue
		}
		s.Options[e.key] = r.text(e.value)
	}
	if s.Provider == "" && !r.has(v.path) {
		r.fault(v, "such as kind: qemu", "the kind of provider is missing")
	}
}

func (r *reader) settings(v value, s *Settings) {
	host := func(v value) (out []string) {
		r.list(v, func(v value) {
			h := r.text(v)
			if h != "" && !regexp.MustCompile(`^[A-Za-z0-9.:-]{1,253}$`).MatchString(h) {
				r.fault(v, "", "%q is neither a host name nor an address", short(h))
				return
			}
			out = append(out, h)
		})
		return out
	}
	word := func(v value, pattern, what string) string {
		t := r.text(v)
		if t != "" && !regexp.MustCompile(pattern).MatchString(t) {
			r.fault(v, "", "%q is no %s", short(t), what)
			return ""
		}
		return t
	}
	r.keys(v, map[string]func(value){
		"proxy": func(v value) {
			s.Proxy = word(v, `^https?://[^\s@/]+/?$`, "proxy: http://HOST:PORT, without a password")
		},
		"ca":       func(v value) { s.CA = r.text(v) },
		"ntp":      func(v value) { s.NTP = host(v) },
		"dns":      func(v value) { r.list(v, func(v value) { s.DNS = append(s.DNS, r.address(v)) }) },
		"zone":     func(v value) { s.Zone = word(v, `^[A-Za-z0-9+_-]+(/[A-Za-z0-9+_-]+)*$`, "time zone") },
		"locale":   func(v value) { s.Locale = word(v, `^[A-Za-z0-9_.@-]+$`, "locale") },
		"parallel": func(v value) { s.Parallel = r.number(v, 1, 64) },
		"timeouts": func(v value) {
			r.keys(v, map[string]func(value){
				"server": func(v value) { s.Server = r.duration(v, 10*time.Second, 24*time.Hour) },
				"call":   func(v value) { s.Call = r.duration(v, time.Second, time.Hour) },
			})
		},
	})
}

func (r *reader) network(v value, n *Network) {
	r.keys(v, map[string]func(value){
		"external": func(v value) { n.External = r.text(v) },
		"prefix": func(v value) {
			s := r.text(v)
			p, err := netip.ParsePrefix(s)
			if err != nil || !p.Addr().Is4() || p != p.Masked() || p.Bits() < 16 || p.Bits() > 28 || !p.Addr().IsPrivate() {
				r.fault(v, "such as 10.77.0.0/24", "%s is no private IPv4 network of /16 to /28", quoted(v, s))
				return
			}
			n.Prefix = p
		},
	})
}
