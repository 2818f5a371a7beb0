package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// The parts of nft's JSON (libnftables-json(5)) that matter here.
type (
	nftChain struct{ Family, Table, Name, Hook, Policy string }
	nftRule  struct {
		Family, Table, Chain string
		Expr                 []map[string]json.RawMessage
	}
	nftMatch struct {
		Op   string
		Left struct {
			Payload *struct{ Protocol, Field string }
			Meta    *struct{ Key string }
			CT      *struct{ Key string }
		}
		Right json.RawMessage
	}
)

// firewall takes what nft -j list ruleset prints. For each family there must be a chain that drops what it does not
// accept, and accepts no more than what was declared; whatever other chains say, they cannot bring back what it drops.
func firewall(out string, w Want) []Point {
	var doc struct {
		Nftables []struct {
			Chain *nftChain
			Rule  *nftRule
		}
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		return []Point{failed("firewall", "nft printed no JSON: %v", err)}
	}
	rules := map[nftChain][]nftRule{}
	var chains []nftChain
	for _, o := range doc.Nftables {
		if o.Chain != nil {
			chains = append(chains, *o.Chain)
		}
		if r := o.Rule; r != nil {
			key := nftChain{Family: r.Family, Table: r.Table, Name: r.Chain}
			rules[key] = append(rules[key], *r)
		}
	}
	var points []Point
	for _, family := range []struct{ nft, name string }{{"ip", "IPv4"}, {"ip6", "IPv6"}} {
		for _, hook := range []string{"input", "forward"} {
			if hook == "forward" && w.Forward {
				continue
			}
			name := "firewall, " + family.name + " " + hook
			points = append(points, failed(name, "no chain drops by default"))
			at := len(points) - 1
			for _, c := range chains {
				if c.Hook != hook || c.Policy != "drop" || c.Family != "inet" && c.Family != family.nft {
					continue
				}
				var wrong []string
				for _, r := range rules[nftChain{Family: c.Family, Table: c.Table, Name: c.Name}] {
					if what := r.tooMuch(w); what != "" {
						wrong = append(wrong, what)
					}
				}
				if len(wrong) == 0 {
					points[at] = passed(name, "%s %s drops by default", c.Table, c.Name)
					break
				}
				points[at] = failed(name, "%s %s lets in %s", c.Table, c.Name, strings.Join(wrong, ", "))
			}
		}
	}
	return points
}

// tooMuch says what a rule lets in that was not declared, or nothing.
func (r *nftRule) tooMuch(w Want) string {
	var matches []nftMatch
	accepts := false
	for _, e := range r.Expr {
		for kind, raw := range e {
			switch kind {
			case "match":
				var m nftMatch
				if err := json.Unmarshal(raw, &m); err != nil {
					return "what is not known"
				}
				matches = append(matches, m)
			case "accept":
				accepts = true
			case "drop", "reject", "counter", "limit", "log", "comment":
			default:
				return fmt.Sprintf("what a %s says", kind) // jump, goto, vmap, queue
			}
		}
	}
	if !accepts {
		return ""
	}
	source := false
	for _, m := range matches {
		if m.Op != "==" && m.Op != "in" {
			continue // it takes away something from a rule, and does not make it narrow
		}
		switch {
		case m.Left.Meta != nil && (m.Left.Meta.Key == "iif" || m.Left.Meta.Key == "iifname"):
			if string(m.Right) == `"lo"` {
				return ""
			}
		case m.Left.CT != nil && m.Left.CT.Key == "state":
			if !slices.ContainsFunc(words(m.Right), func(s string) bool {
				return s != "established" && s != "related"
			}) {
				return ""
			}
		case m.Left.Payload != nil && m.Left.Payload.Field == "saddr":
			source = true
		case m.Left.Payload != nil && m.Left.Payload.Field == "dport":
			return undeclared(m.Left.Payload.Protocol, m.Right, w)
		case m.Left.Payload != nil && m.Left.Payload.Field == "type":
			if slices.Contains(words(m.Right), "echo-request") && !slices.ContainsFunc(w.Ports, func(p Port) bool {
				return p.Protocol == "icmp"
			}) {
				return "echo requests"
			}
			return ""
		}
	}
	if source && w.Inside {
		return ""
	}
	if source {
		return "all packets of some sources"
	}
	return "all packets"
}

// words are the words of a string, a list, or a set.
func words(raw json.RawMessage) []string {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}
	}
	var set struct{ Set []string }
	if json.Unmarshal(raw, &set) == nil && set.Set != nil {
		return set.Set
	}
	var list []string
	if json.Unmarshal(raw, &list) == nil && list != nil {
		return list
	}
	return []string{"what is not known"}
}

// undeclared says which destination ports of a rule are not declared; DHCP clients are let to hear their answers.
func undeclared(protocol string, raw json.RawMessage, w Want) string {
	type span struct{ from, to uint16 }
	read := func(raw json.RawMessage) (span, bool) {
		var p uint16
		if json.Unmarshal(raw, &p) == nil {
			return span{p, p}, true
		}
		var r struct{ Range []uint16 }
		if json.Unmarshal(raw, &r) == nil && len(r.Range) == 2 {
			return span{r.Range[0], r.Range[1]}, true
		}
		return span{}, false
	}
	entries := []json.RawMessage{raw}
	var set struct{ Set []json.RawMessage }
	if json.Unmarshal(raw, &set) == nil && set.Set != nil {
		entries = set.Set
	}
	var wrong []string
	for _, e := range entries {
		s, ok := read(e)
		switch {
		case !ok:
			wrong = append(wrong, "ports that are not known")
		case protocol == "tcp" && s == span{w.SSHPort, w.SSHPort}:
		case protocol == "udp" && (s == span{68, 68} || s == span{546, 546}):
		case slices.ContainsFunc(w.Ports, func(p Port) bool {
			return p.Protocol == protocol && p.From <= s.from && s.to <= p.To
		}):
		default:
			wrong = append(wrong, fmt.Sprintf("%s %d to %d", protocol, s.from, s.to))
		}
	}
	return strings.Join(wrong, " and ")
}
