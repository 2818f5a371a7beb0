package provider

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Identity implements Want.
func (i *Image) Identity() (Kind, string, string) { return KindImage, "", i.Name }

// Identity implements Want.
func (k *Key) Identity() (Kind, string, string) { return KindKey, k.Stack, k.Name }

// Identity implements Want.
func (n *Network) Identity() (Kind, string, string) { return KindNetwork, n.Stack, n.Name }

// Identity implements Want.
func (f *Firewall) Identity() (Kind, string, string) { return KindFirewall, f.Stack, f.Name }

// Identity implements Want.
func (a *Address) Identity() (Kind, string, string) { return KindAddress, a.Stack, a.Name }

// Identity implements Want.
func (v *Volume) Identity() (Kind, string, string) { return KindVolume, v.Stack, v.Name }

// Identity implements Want.
func (s *Server) Identity() (Kind, string, string) { return KindServer, s.Stack, s.Name }

// Fingerprint implements Want: an image is its bytes.
func (i *Image) Fingerprint() string { return fingerprint(i.Digest, i.Format) }

// Fingerprint implements Want.
func (k *Key) Fingerprint() string { return fingerprint(k.Public) }

// Fingerprint implements Want.
func (n *Network) Fingerprint() string { return fingerprint(n.Prefix, n.DNS, n.External) }

// Fingerprint implements Want: rules are changed in place.
func (f *Firewall) Fingerprint() string { return fingerprint() }

// Fingerprint implements Want.
func (a *Address) Fingerprint() string { return fingerprint(a.External) }

// Fingerprint implements Want: a volume grows in place, and nothing else about it is worth its data.
func (v *Volume) Fingerprint() string { return fingerprint() }

// Fingerprint implements Want: what a server is made from. Its firewall, address and volumes are changed in place.
func (s *Server) Fingerprint() string {
	return fingerprint(s.Image, s.Size, s.Disk, s.Key, s.Network, s.Private, sha256.Sum256(s.UserData), s.UEFI)
}

// fingerprint digests values that JSON can hold; it has no other errors than a programmer's.
func fingerprint(values ...any) string {
	b, err := json.Marshal(values)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
