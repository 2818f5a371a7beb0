package cloud

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
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

// digestOf is a digest of a value that JSON can hold, 64 hex digits.
func digestOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // no type of ours has a value that cannot be
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// asWritten is a Lookup that leaves references as they are.
func asWritten(r stack.Reference) (string, error) { return r.String(), nil }

// scaled is s with other counts of roles. A further server is as the last numbered one of its role is declared.
func scaled(s *stack.Stack, counts map[string]int) (*stack.Stack, error) {
	out := *s
	out.Roles = slices.Clone(s.Roles)
	for i, role := range out.Roles {
		n, ok := counts[role.Name]
		if !ok || n == role.Count {
			continue
		}
		if n < role.Min || role.Max > 0 && n > role.Max {
			return nil, fmt.Errorf("role %s: %d servers are not within %d to %d", role.Name, n, role.Min, role.Max)
		}
		servers, err := renumbered(out.Servers, role, n)
		if err != nil {
			return nil, err
		}
		out.Servers, out.Roles[i].Count = servers, n
	}
	return &out, nil
}

func renumbered(all []stack.Server, role stack.Role, n int) ([]stack.Server, error) {
	var out []stack.Server
	at, have := 0, 0
	var like *stack.Server
	taken := make(map[string]bool)
	for i := range all {
		v := all[i]
		if v.Role == role.Name && v.Number > n {
			continue
		}
		out = append(out, v)
		taken[v.Name] = true
		if v.Role == role.Name {
			at = len(out)
			if v.Number > have {
				have, like = v.Number, &all[i]
			}
		}
	}
	if have < n && like == nil {
		return nil, fmt.Errorf("role %s: the stack file has no numbered server of it that another could be like: declare a count of 1 or more", role.Name)
	}
	var more []stack.Server
	for have < n {
		have++
		v := *like
		v.Number, v.Name, v.Address = have, fmt.Sprintf("%s-%d", role.Name, have), netip.Addr{}
		if taken[v.Name] {
			return nil, fmt.Errorf("role %s: there is a server %s already that is not of it", role.Name, v.Name)
		}
		more = append(more, v)
	}
	return slices.Insert(out, at, more...), nil
}
