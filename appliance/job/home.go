package job

import (
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"strings"
)

// HomeReport is what the installed system says of itself when it is up.
type HomeReport struct {
	Hostname  string `json:"hostname"`
	MachineID string `json:"machineId"`
	Kernel    string `json:"kernel"`
	Root      string `json:"root"` // the subvolume of /

	// HostKeys are the public keys of its ssh server, lines of known_hosts(5) without the name: "ssh-ed25519 AAAAC3…".
	HostKeys []string `json:"hostKeys,omitempty"`
	// Addresses are those that it can be reached at, "192.0.2.5"; the one with which it reached the server is first.
	Addresses []string `json:"addresses,omitempty"`
}

// Limits of a report.
const (
	maxHostKeys  = 8
	maxHostKey   = 4096 // bytes of a line: an RSA key of 16384 bits has 2800
	maxAddresses = 32
)

// Bounded returns r with every string and list cut to what the server keeps, without keys and addresses that are not
// valid or come twice.
func (r HomeReport) Bounded() HomeReport {
	r.Hostname, r.MachineID, r.Kernel = Printable(r.Hostname), Printable(r.MachineID), Printable(r.Kernel)
	r.Root = Sentence(r.Root)
	r.HostKeys = distinct(r.HostKeys, maxHostKeys, hostKey)
	r.Addresses = distinct(r.Addresses, maxAddresses, address)
	return r
}

// distinct keeps the first limit of the different values that read accepts, as it returns them.
func distinct(all []string, limit int, read func(string) (string, bool)) []string {
	var out []string
	seen := map[string]bool{}
	for _, s := range all {
		if s, ok := read(s); ok && !seen[s] && len(out) < limit {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

// hostKey is the kind and the bytes of a public key, without its comment. The bytes begin with the kind too (RFC 4253
// section 6.6).
func hostKey(line string) (string, bool) {
	f := strings.Fields(line[:min(len(line), maxHostKey)])
	if len(f) < 2 || Printable(f[0]) != f[0] {
		return "", false
	}
	b, err := base64.StdEncoding.DecodeString(f[1])
	if err != nil || len(b) < 4 {
		return "", false
	}
	n := binary.BigEndian.Uint32(b)
	if b = b[4:]; uint64(n) > uint64(len(b)) || string(b[:n]) != f[0] {
		return "", false
	}
	return f[0] + " " + f[1], true
}

// address is one that another host can reach.
func address(s string) (string, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || !a.Unmap().IsGlobalUnicast() {
		return "", false
	}
	return a.Unmap().String(), true
}
