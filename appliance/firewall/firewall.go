// Package firewall makes the firewall of the secure state, for servers in clouds and for machines.
//
// Fill a Rules and write Text to the file that nftables.service loads. The package is pure; a ruleset that was made
// twice is the same.
package firewall

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Rules is what the firewall lets in. The zero value lets in nothing but answers.
type Rules struct {
	Ports   []Port
	Inside  []netip.Prefix // networks from which everything is let in
	Forward bool           // leave forwarded packets alone, as hosts of containers need it; else they are dropped
}

// Port is a port that lets packets in.
type Port struct {
	Protocol string         // tcp, udp or icmp; icmp is the echo request of both families
	From, To uint16         // inclusive; both 0 for icmp
	Source   []netip.Prefix // empty: everyone
}

// NoStop is a drop-in of nftables.service: Debian's unit takes all rules away when it stops, which it does early when
// the system goes down.
const NoStop = "[Service]\nExecStop=\n"

// Text is what /etc/nftables.conf holds. The table is the server's own: one transaction replaces it and leaves
// others, such as a container engine's, alone; a packet that it drops is dropped whatever they say.
//
// Errors that belong to a connection come as related; those of ICMP that are let in besides are what path MTU discovery
// needs, and of ICMPv6 what neighbours and routers say (RFC 4890 section 4.4).
func (r Rules) Text() string {
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
	for _, rule := range accept("", r.Inside) {
		if len(r.Inside) > 0 {
			fmt.Fprintf(&b, "\t\t%s\n", rule)
		}
	}
	for _, p := range r.Ports {
		for _, match := range p.matches() {
			for _, rule := range accept(match, p.Source) {
				fmt.Fprintf(&b, "\t\t%s\n", rule)
			}
		}
	}
	b.WriteString("\t}\n")
	if !r.Forward {
		b.WriteString(`	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
	}
`)
	}
	b.WriteString("}\n")
	return b.String()
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

// distinct keeps the first of each.
func distinct(list []string) []string {
	var d []string
	for _, s := range list {
		if !slices.Contains(d, s) {
			d = append(d, s)
		}
	}
	return d
}
