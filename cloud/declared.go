package cloud

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"

	"griddle/cloud/provider"
	"griddle/cloud/stack"
)

// Names of a stack's resources. Servers' names have no dots, so that none of these can be another's.
const (
	keyName     = "admin"
	networkName = "net"
)

func volumeName(server, volume string) string { return server + "." + volume }

// imageKey is how State.Images names what a server is to be made from.
func imageKey(s stack.Server) string { return s.Image + "@" + s.Arch }

// firewalls gives the rules of each of a stack's firewalls, by name, and the firewall of each server. The servers of a role share
// the one that bears its name; a server whose ports are others has its own.
func firewalls(s *stack.Stack) (rules map[string][]provider.Rule, of map[string]string) {
	rules, of = make(map[string][]provider.Rule), make(map[string]string, len(s.Servers))
	for _, v := range s.Servers {
		own := serverRules(s.SSH, v.Ports)
		name := "role." + v.Role
		if shared, ok := rules[name]; v.Role == "" || ok && !slices.Equal(shared, own) {
			name = "server." + v.Name
		}
		rules[name], of[v.Name] = own, name
	}
	return rules, of
}

// Rules are what lets ssh and open ports of a server in.
func Rules(ssh stack.SSH, ports []stack.Port) []provider.Rule { return serverRules(ssh, ports) }

// serverRules lets in what is declared, and ssh.
func serverRules(ssh stack.SSH, ports []stack.Port) []provider.Rule {
	port := sshPort(ssh)
	all := append([]stack.Port{{Protocol: "tcp", From: port, To: port, Source: ssh.From}}, ports...)
	var out []provider.Rule
	for _, p := range all {
		source := p.Source
		if len(source) == 0 {
			source = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
		}
		for _, from := range source {
			r := provider.Rule{Protocol: p.Protocol, From: p.From, To: p.To, Source: from}
			if !slices.Contains(out, r) {
				out = append(out, r)
			}
		}
	}
	return out
}

func sshPort(s stack.SSH) uint16 {
	if s.Port == 0 {
		return 22
	}
	return s.Port
}

// rulesDigest is what State.Firewalls has of the rules that a firewall was last given, 64 hex digits.
func rulesDigest(rules []provider.Rule) string {
	b, err := json.Marshal(rules)
	if err != nil {
		panic(err) // every rule can be encoded
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// asWritten is a Lookup that leaves references as they are.
func asWritten(r stack.Reference) (string, error) { return r.String(), nil }

// scaled is s with the counts of roles that were chosen later. A role that is declared no more has none.
func scaled(s *stack.Stack, counts map[string]int) (*stack.Stack, error) {
	counts = maps.Clone(counts)
	maps.DeleteFunc(counts, func(name string, _ int) bool {
		return !slices.ContainsFunc(s.Roles, func(r stack.Role) bool { return r.Name == name })
	})
	return s.Scaled(counts)
}
