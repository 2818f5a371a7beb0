//go:build cloud

package audit_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"

	"griddle/cloud/userdata/seed"
)

// configDrive returns the files of OpenStack's config drive (nova, "Metadata service", network_data schema). Only tests
// make one: OpenStack makes those of its own servers.
func configDrive(s seed.Seed) ([]seed.File, error) {
	meta, err := json.Marshal(map[string]any{"uuid": s.InstanceID, "hostname": s.Hostname, "name": s.Hostname})
	if err != nil {
		return nil, err
	}
	links, networks := []any{}, []any{}
	for i, f := range s.Network.Interfaces {
		id := fmt.Sprintf("eth%d", i)
		links = append(links, map[string]any{"id": id, "type": "phy", "ethernet_mac_address": f.MAC.String()})
		for j, p := range f.Addresses {
			networks = append(networks, driveNetwork(fmt.Sprintf("%s-%d", id, j), id, p, f.Gateways))
		}
	}
	network, err := json.Marshal(map[string]any{"links": links, "networks": networks, "services": []any{}})
	if err != nil {
		return nil, err
	}
	return []seed.File{
		{Name: "openstack/latest/meta_data.json", Content: meta},
		{Name: "openstack/latest/network_data.json", Content: network},
		{Name: "openstack/latest/user_data", Content: s.UserData},
	}, nil
}

func driveNetwork(id, link string, p netip.Prefix, gateways []netip.Addr) map[string]any {
	kind, zero := "ipv4", "0.0.0.0"
	if p.Addr().Is6() {
		kind, zero = "ipv6", "::"
	}
	mask, _ := netip.AddrFromSlice(net.CIDRMask(p.Bits(), p.Addr().BitLen()))
	n := map[string]any{"id": id, "type": kind, "link": link, "ip_address": p.Addr().String(), "netmask": mask.String()}
	for _, g := range gateways {
		if g.Is4() == p.Addr().Is4() && p.Masked().Contains(g) {
			n["routes"] = []any{map[string]any{"network": zero, "netmask": zero, "gateway": g.String()}}
		}
	}
	return n
}
