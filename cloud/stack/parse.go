package stack

import (
	"net/netip"
	"slices"
	"time"
)

// Bounds of what a file declares.
const (
	MaxServers  = 1000
	maxRoles    = 100
	maxProfiles = 256
)

// parsing is a file that is being read.
type parsing struct {
	*reader
	stack    *Stack
	root     *node
	common   properties // defaults
	parts    []*piece   // of the stack itself
	profiles []*profile
	roles    []*role
	groups   []*group
	servers  []*server
}

// Parse reads a stack file; file is what faults call it. The error is of type Faults: everything that is wrong, by line
// and column.
func Parse(file string, b []byte) (*Stack, error) {
	p, faults := parse(file, b)
	if len(faults) > 0 {
		return nil, faults
	}
	return p.stack, nil
}

func parse(file string, b []byte) (*parsing, Faults) {
	p := &parsing{
		reader: &reader{file: file, shapes: map[string][]string{}, places: map[string]Position{}},
		stack: &Stack{
			Options:  map[string]string{},
			Settings: Settings{Parallel: 4, Server: 15 * time.Minute, Call: 5 * time.Minute},
			Network:  Network{Prefix: netip.MustParsePrefix("10.77.0.0/24")},
			Admin:    "ops",
			SSH:      SSH{Port: 22},
		},
	}
	p.stack.places, p.stack.file = p.places, file
	if p.root = p.document(b); p.root != nil {
		p.file()
	}
	return p, p.faults.sorted()
}

// file reads the whole file. What others refer to comes first, whatever the order in the file: faults are sorted.
func (p *parsing) file() {
	s := p.stack
	nothing := func(*node, string) {}
	p.object(p.root, "", "stack", []field{
		{"version", func(n *node, path string) {
			if p.want(n, path, kindInt, "the number 1") && n.raw != "1" {
				p.wrong(n.at, path, "", "%s is not a version of the stack file that is known, which is 1", n.raw)
			}
		}},
		{"name", func(n *node, path string) {
			s.Name = p.checked(n, path, "a DNS label (lower-case letters, digits and inner hyphens) of at most 30 characters", 30, label)
		}},
		{"provider", p.provider},
		{"settings", p.settings},
		{"network", p.network},
		{"admin", func(n *node, path string) { s.Admin = p.login(n, path) }},
		{"keys", func(n *node, path string) { s.Keys = p.keys(n, path) }},
		{"users", nothing},
		{"ssh", p.ssh},
		{"secrets", p.secrets},
		{"userData", nothing},
		{"defaults", nothing},
		{"profiles", nothing},
		{"roles", nothing},
		{"groups", nothing},
		{"servers", nothing},
	}, "version", "name", "provider")
	for _, later := range []field{
		{"users", p.users},
		{"userData", func(n *node, path string) { p.parts = p.userData(n, path) }},
		{"defaults", func(n *node, path string) { p.object(n, path, "defaults", p.fields(&p.common)) }},
		{"profiles", p.declareProfiles},
		{"roles", p.declareRoles},
		{"groups", p.declareGroups},
		{"servers", p.declareServers},
	} {
		if n := p.root.find(later.name); n != nil && n.kind != kindNull {
			later.read(n, later.name)
		}
	}
	if p.root.kind != kindMapping {
		return
	}
	if s.Admin != "" && !slices.ContainsFunc(s.Users, func(u User) bool { return u.Name == s.Admin }) {
		s.Users = append([]User{{Name: s.Admin, Sudo: true}}, s.Users...)
	}
	for _, x := range p.parts {
		s.UserData = append(s.UserData, x.Part)
	}
	if len(p.roles) == 0 && len(p.servers) == 0 {
		p.wrong(p.root.at, "", "", "no role and no server is declared")
	}
	p.resolve()
}
