package stack

import (
	"net/netip"
	"slices"
	"time"

	"griddle/cloud/yamltree"
)

// Bounds of what a file declares.
const (
	MaxServers  = 1000
	maxRoles    = 100
	maxProfiles = 256
)

// parsing is a file that is being read.
type parsing struct {
	*yamltree.Reader
	stack    *Stack
	root     *yamltree.Node
	common   properties // defaults
	parts    []*piece   // of the stack itself
	profiles []*profile
	roles    []*role
	groups   []*group
	servers  []*server
}

// Parse reads a stack file; file is what faults call it. The error is of type yamltree.Faults: everything that is
// wrong, by line and column.
func Parse(file string, b []byte) (*Stack, error) {
	p := parse(yamltree.NewReader(file), b)
	if err := p.Faults().Err(); err != nil {
		return nil, err
	}
	p.stack.file = file
	return p.stack, nil
}

func parse(r *yamltree.Reader, b []byte) *parsing {
	r.Places = map[string]yamltree.Place{}
	p := &parsing{
		Reader: r,
		stack: &Stack{
			Options:  map[string]string{},
			Settings: Settings{Parallel: 4, Server: 15 * time.Minute, Call: 5 * time.Minute},
			Network:  Network{Prefix: netip.MustParsePrefix("10.77.0.0/24")},
			Admin:    "ops",
			SSH:      SSH{Port: 22},
		},
	}
	p.stack.places = r.Places
	switch p.root = r.Read(b, options()); {
	case p.root == nil:
	case p.root.Kind == yamltree.Null:
		r.Wrong(p.root.At, "", "griddle cloud init writes one", "the file is empty")
	default:
		p.file()
	}
	return p
}

func options() yamltree.Options {
	return yamltree.Options{Aliases: true, Instead: "use profiles with inherits"}
}

// file reads the whole file. What others refer to comes first, whatever the order in the file: faults are sorted.
func (p *parsing) file() {
	s := p.stack
	nothing := func(*yamltree.Node, string) {}
	p.Object(p.root, "", "stack", []yamltree.Field{
		yamltree.Key("version", func(n *yamltree.Node, path string) {
			if p.Want(n, path, yamltree.Int, "the number 1") && n.Raw != "1" {
				p.Wrong(n.At, path, "", "%s is not a known version of the stack file; 1 is", n.Raw)
			}
		}),
		yamltree.Key("name", func(n *yamltree.Node, path string) {
			s.Name = p.Checked(n, path,
				"a DNS label (lower-case letters, digits and inner hyphens) of at most 30 characters", 30, label)
		}),
		yamltree.Key("provider", p.provider),
		yamltree.Key("settings", p.settings),
		yamltree.Key("network", p.network),
		yamltree.Key("admin", func(n *yamltree.Node, path string) { s.Admin = p.login(n, path) }),
		yamltree.Key("keys", func(n *yamltree.Node, path string) { s.Keys = p.keys(n, path) }),
		yamltree.Key("users", nothing),
		yamltree.Key("ssh", p.ssh),
		yamltree.Key("secrets", p.secrets),
		yamltree.Key("userData", nothing),
		yamltree.Key("defaults", nothing),
		yamltree.Key("profiles", nothing),
		yamltree.Key("roles", nothing),
		yamltree.Key("groups", nothing),
		yamltree.Key("servers", nothing),
	}, "version", "name", "provider")
	for _, later := range []yamltree.Field{
		yamltree.Key("users", p.users),
		yamltree.Key("userData", func(n *yamltree.Node, path string) { p.parts = p.userData(n, path) }),
		yamltree.Key("defaults",
			func(n *yamltree.Node, path string) { p.Object(n, path, "defaults", p.fields(&p.common)) }),
		yamltree.Key("profiles", p.declareProfiles),
		yamltree.Key("roles", p.declareRoles),
		yamltree.Key("groups", p.declareGroups),
		yamltree.Key("servers", p.declareServers),
	} {
		if n := p.root.Find(later.Name); n != nil && n.Kind != yamltree.Null {
			later.Read(n, later.Name)
		}
	}
	if p.root.Kind != yamltree.Mapping {
		return
	}
	if s.Admin != "" && !slices.ContainsFunc(s.Users, func(u User) bool { return u.Name == s.Admin }) {
		s.Users = append([]User{{Name: s.Admin, Sudo: true}}, s.Users...)
	}
	for _, x := range p.parts {
		s.UserData = append(s.UserData, x.Part)
	}
	if len(p.roles) == 0 && len(p.servers) == 0 {
		p.Wrong(p.root.At, "", "", "the file declares no role and no server")
	}
	p.resolve()
}
