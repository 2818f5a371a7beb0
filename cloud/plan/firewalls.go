package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"slices"

	"griddle/cloud/provider"
	"griddle/cloud/stack"
)

// Firewalls gives the rules of each of a stack's firewalls, by name, and the firewall of each server. The servers of a
// role share the one that has its name; a server whose ports are others has its own.
func Firewalls(s *stack.Stack) (rules map[string][]provider.Rule, of map[string]string) {
	rules, of = make(map[string][]provider.Rule), make(map[string]string, len(s.Servers))
	for _, v := range s.Servers {
		own := Rules(s.SSH, v.Ports)
		name := "role." + v.Role
		if shared, ok := rules[name]; v.Role == "" || ok && !slices.Equal(shared, own) {
			name = "server." + v.Name
		}
		rules[name], of[v.Name] = own, name
	}
	return rules, of
}

// Rules are the rules of a server's firewall: they allow ssh and the open ports.
func Rules(ssh stack.SSH, ports []stack.Port) []provider.Rule {
	port := SSHPort(ssh)
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

func SSHPort(s stack.SSH) uint16 {
	if s.Port == 0 {
		return 22
	}
	return s.Port
}

// RulesDigest is the digest of a firewall's rules, 64 lower-case hex digits.
func RulesDigest(rules []provider.Rule) string {
	b, err := json.Marshal(rules)
	if err != nil {
		panic(err) // every rule can be encoded
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
