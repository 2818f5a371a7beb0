package qemu

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"griddle/cloud/userdata/seed"
)

// newSeed says who the server is and how its cards are set up.
func newSeed(server, network, key *record, userData []byte) (seed.Seed, error) {
	s := seed.Seed{InstanceID: "i-" + server.Serial, Hostname: server.name(), UserData: userData}
	if key != nil {
		s.Keys = []string{key.Key}
	}
	out, stack := cards(server, network)
	outMAC, err1 := net.ParseMAC(out)
	stackMAC, err2 := net.ParseMAC(stack)
	if err := errors.Join(err1, err2); err != nil {
		return seed.Seed{}, err
	}
	n := network.Network
	private := []netip.Prefix{netip.PrefixFrom(server.Server.Private, n.Prefix.Bits())}
	first := seed.Interface{MAC: outMAC, DNS: n.DNS}
	if n.Bridge != "" {
		first.Addresses, first.Gateways = private, []netip.Addr{n.Prefix.Masked().Addr().Next()}
		s.Network = &seed.Network{Interfaces: []seed.Interface{first}}
		return s, nil
	}
	first.DHCP = true
	s.Network = &seed.Network{Interfaces: []seed.Interface{first, {MAC: stackMAC, Addresses: private}}}
	return s, nil
}

// writeSeed makes the disk dir/seed.iso, which only its owner can read.
func writeSeed(dir string, s seed.Seed) (err error) {
	files, err := seed.NoCloud(s)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, seedFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := seed.ISO(f, seed.Label, files); err != nil {
		return err
	}
	return f.Sync()
}
