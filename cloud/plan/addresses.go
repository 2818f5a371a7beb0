package plan

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"griddle/cloud/provider"
	"griddle/cloud/stack"
	"griddle/cloud/state"
)

// Of a network's addresses, clouds take the first four for themselves (EC2 says so), and DHCP servers and gateways are
// found among the first ten. Those are given out last.
const (
	firstAddress = 10
	lowAddress   = 4
)

// Addresses gives each server of s its private address: the declared one, the one it has in old, or the first free one.
// taken are those of other things. The same arguments give the same addresses, and one more server changes no other's.
func Addresses(s *stack.Stack, old map[string]*state.Server,
	taken map[netip.Addr]string) (map[string]netip.Addr, error) {
	out := make(map[string]netip.Addr, len(s.Servers))
	owner := make(map[netip.Addr]string, len(s.Servers))
	for _, v := range s.Servers {
		if !v.Address.IsValid() {
			continue
		}
		if err := provider.CheckPrivate(s.Network.Prefix, v.Address); err != nil {
			return nil, fmt.Errorf("server %s: %w", v.Name, err)
		}
		if other, twice := owner[v.Address]; twice {
			return nil, fmt.Errorf("servers %s and %s: both want %v", other, v.Name, v.Address)
		}
		out[v.Name], owner[v.Address] = v.Address, v.Name
	}
	for _, v := range s.Servers {
		had := old[v.Name]
		if out[v.Name].IsValid() || had == nil || owner[had.Private] != "" ||
			provider.CheckPrivate(s.Network.Prefix, had.Private) != nil || !had.Private.IsValid() {
			continue
		}
		out[v.Name], owner[had.Private] = had.Private, v.Name
	}
	f := free{prefix: s.Network.Prefix.Masked(), next: firstAddress}
	for _, v := range s.Servers {
		if out[v.Name].IsValid() {
			continue
		}
		for {
			a, err := f.address()
			if err != nil {
				return nil, fmt.Errorf("server %s: %w", v.Name, err)
			}
			if owner[a] == "" && (taken[a] == "" || taken[a] == v.Name) {
				out[v.Name], owner[a] = a, v.Name
				break
			}
		}
	}
	return out, nil
}

// free walks over the addresses of a network in the order in which they are given out.
type free struct {
	prefix netip.Prefix
	next   uint32 // as a distance from the network's own
	low    bool
}

func (f *free) address() (netip.Addr, error) {
	size := uint32(1) << (32 - f.prefix.Bits())
	if !f.low && f.next >= size-1 {
		f.low, f.next = true, lowAddress
	}
	if f.low && f.next >= min(firstAddress, size-1) {
		return netip.Addr{}, fmt.Errorf("no address of the network %v is free", f.prefix)
	}
	b := f.prefix.Addr().As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+f.next)
	f.next++
	return netip.AddrFrom4(b), nil
}
