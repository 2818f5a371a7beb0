package secure

import (
	"fmt"
	"net/netip"
	"strings"
)

// ruleset returns what /etc/nftables.conf holds. The table is the server's own: one transaction replaces it and leaves
// others, such as a container engine's, alone; a packet that it drops is dropped whatever they say.
//
// Errors that belong to a connection come as related; those of ICMP that are let in besides are what path MTU discovery
// needs, and of ICMPv6 what neighbours and routers say (RFC 4890 section 4.4).
func (s *Server) ruleset() string {
	var b strings.Builder
	b.WriteString(`#!/usr/sbin/nft -f
table inet griddle
delete table inet griddle
table inet griddle {
	chain input {
		type filter hook input priority filter; policy drop;
		iif "lo" accept
		ct state established,related accept
		icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept
		icmpv6 type { mld-listener-query, mld2-listener-report } ip6 saddr fe80::/10 accept
		ct state invalid drop
		icmp type { destination-unreachable, time-exceeded, parameter-problem } accept
		icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept
		udp sport 67 udp dport 68 accept
		ip6 saddr fe80::/10 udp dport 546 accept
`)
	for _, rule := range accept("", s.Inside) {
		if len(s.Inside) > 0 {
			fmt.Fprintf(&b, "\t\t%s\n", rule)
		}
	}
	ports := append([]Port{{"tcp", s.sshPort(), s.sshPort(), s.SSH.From}}, s.Ports...)
	for _, p := range ports {
		for _, match := range p.matches() {
			for _, rule := range accept(match, p.Source) {
				fmt.Fprintf(&b, "\t\t%s\n", rule)
			}
		}
	}
	b.WriteString("\t}\n")
	if !s.Forward {
		b.WriteString(`	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
	}
`)
	}
	b.WriteString("}\n")
	return b.String()
}

func (s *Server) sshPort() uint16 {
	if s.SSH.Port == 0 {
		return 22
	}
	return s.SSH.Port
}

func (p *Port) matches() []string {
	switch {
	case p.Protocol == "icmp":
		return []string{"icmp type echo-request", "icmpv6 type echo-request"}
	case p.From == p.To:
		return []string{fmt.Sprintf("%s dport %d", p.Protocol, p.From)}
	}
	return []string{fmt.Sprintf("%s dport %d-%d", p.Protocol, p.From, p.To)}
}

// accept returns the rules that let in what matches, from the sources of each family.
func accept(match string, sources []netip.Prefix) []string {
	if match != "" {
		match += " "
	}
	if len(sources) == 0 {
		return []string{match + "accept"}
	}
	var four, six []string
	for _, p := range sources {
		if p.Addr().Is4() {
			four = append(four, p.Masked().String())
		} else {
			six = append(six, p.Masked().String())
		}
	}
	var rules []string
	// A family that the match itself excludes would be a rule that nft refuses.
	if len(four) > 0 && !strings.HasPrefix(match, "icmpv6") {
		rules = append(rules, fmt.Sprintf("ip saddr { %s } %saccept", strings.Join(distinct(four), ", "), match))
	}
	if len(six) > 0 && !strings.HasPrefix(match, "icmp ") {
		rules = append(rules, fmt.Sprintf("ip6 saddr { %s } %saccept", strings.Join(distinct(six), ", "), match))
	}
	return rules
}
