package qemu

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
)

// seed is the files of a disk from which cloud-init's NoCloud takes what it is to do. They are JSON, which is YAML too.
type seed struct{ meta, network, user []byte }

// newSeed says who the server is and how its cards are set up (version 2 of cloud-init's network configuration).
func newSeed(server, network, key *record, userData []byte) (seed, error) {
	meta := map[string]any{"instance-id": "i-" + server.Serial, "local-hostname": server.name()}
	if key != nil {
		meta["public-keys"] = []string{key.Key}
	}
	n := network.Network
	out, stack := cards(server, network)
	private := netip.PrefixFrom(server.Server.Private, n.Prefix.Bits()).String()
	type object map[string]any
	first := object{"match": object{"macaddress": out}, "set-name": "eth0"}
	if len(n.DNS) > 0 {
		first["nameservers"] = object{"addresses": n.DNS}
	}
	cards := object{"eth0": first}
	if n.Bridge != "" {
		first["addresses"] = []string{private}
		first["routes"] = []object{{"to": "0.0.0.0/0", "via": n.Prefix.Masked().Addr().Next()}}
	} else {
		first["dhcp4"] = true
		if len(n.DNS) > 0 {
			first["dhcp4-overrides"] = object{"use-dns": false}
		}
		cards["eth1"] = object{"match": object{"macaddress": stack}, "set-name": "eth1", "addresses": []string{private}}
	}
	var err error
	s := seed{user: userData}
	if s.meta, err = json.MarshalIndent(meta, "", "  "); err != nil {
		return seed{}, err
	}
	s.network, err = json.MarshalIndent(object{"version": 2, "ethernets": cards}, "", "  ")
	return s, err
}

// write makes the disk dir/seed.iso: ISO 9660 with Rock Ridge, with the label by which NoCloud knows it. The
// files lie in dir for a moment, and not where others can read.
func (s seed) write(dir string) (err error) {
	work := filepath.Join(dir, "seed")
	if err := os.Mkdir(work, 0o700); err != nil {
		return err
	}
	for name, b := range map[string][]byte{"meta-data": s.meta, "network-config": s.network, "user-data": s.user} {
		if err := os.WriteFile(filepath.Join(work, name), b, 0o600); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(filepath.Join(dir, seedFile), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	iso, err := iso9660.Create(file.New(f, false), 0, 0, 0, work)
	if err != nil {
		return fmt.Errorf("making the seed: %w", err)
	}
	// It takes the directory away.
	if err := iso.Finalize(iso9660.FinalizeOptions{RockRidge: true, VolumeIdentifier: "cidata"}); err != nil {
		return fmt.Errorf("making the seed: %w", err)
	}
	// A disk has whole sectors, also for QEMU.
	return f.Sync()
}
