package provider

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// MaxRules is the most rules of one firewall: what every provider takes by default.
const MaxRules = 60

// Check finds every fault of w that needs no provider to be asked: ErrUnsupported for a kind that f lacks, otherwise
// nil or an ErrInvalid with each fault. Ensure calls it first. IDs are not looked at.
func Check(f Features, w Want) error {
	kind, stack, name := w.Identity()
	if why, lacks := f.Lacks[kind]; lacks {
		return fmt.Errorf("making %s %q: %s: %w", kind, name, why, ErrUnsupported)
	}
	var faults []error
	bad := func(format string, a ...any) { faults = append(faults, fmt.Errorf(format, a...)) }
	if kind != KindImage && !isLabel(stack, 30) {
		bad("the stack's name %q is not a DNS label of at most 30 characters", stack)
	}
	switch {
	case kind == KindServer && !isLabel(name, 63):
		bad("the name is not a DNS label")
	case kind == KindImage && !isName(name, 60):
		bad("the name has other characters than a-z, 0-9, . and -, or more than 60")
	case !isName(name, 94):
		bad("the name has other characters than a-z, 0-9, . and -, or more than 94")
	}
	switch w := w.(type) {
	case *Image:
		checkImage(f, w, bad)
	case *Key:
		if !isPublicKey(w.Public) {
			bad("this is not a line of authorized_keys")
		}
	case *Network:
		if p := w.Prefix; !p.IsValid() || !p.Addr().Is4() || p != p.Masked() || p.Bits() < 16 || p.Bits() > 28 {
			bad("%v is not an IPv4 network of /16 to /28", p)
		}
		for _, a := range w.DNS {
			if !a.IsValid() {
				bad("an address of a name server is empty")
			}
		}
	case *Firewall:
		if len(w.Rules) > MaxRules {
			bad("it has %d rules, more than %d", len(w.Rules), MaxRules)
		}
		for i, r := range w.Rules {
			if err := checkRule(r); err != nil {
				bad("rule %d: %w", i+1, err)
			}
		}
	case *Volume:
		if w.Size <= 0 || w.Size%(1<<30) != 0 || w.Size > 64<<40 {
			bad("%d bytes are not a multiple of 1 GiB up to 64 TiB", w.Size)
		}
	case *Server:
		checkServer(f, w, bad)
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("making %s %q: %w: %w", kind, name, ErrInvalid, errors.Join(faults...))
}

func checkImage(f Features, i *Image, bad func(string, ...any)) {
	digest, ok := strings.CutPrefix(i.Digest, "sha256:")
	if b, err := hex.DecodeString(digest); !ok || err != nil || len(b) != 32 || digest != strings.ToLower(digest) {
		bad("its digest %q is not sha256: and 64 hex digits", i.Digest)
	}
	if i.Format != f.Format {
		bad("its format is %q, and not %q", i.Format, f.Format)
	}
	if i.Arch != "amd64" && i.Arch != "arm64" {
		bad("its architecture %q is neither amd64 nor arm64", i.Arch)
	}
	if i.Size <= 0 || i.Virtual < 0 || i.Format != Tree && i.Virtual == 0 {
		bad("its sizes %d and %d are not valid", i.Size, i.Virtual)
	}
	if i.Format != Tree && !i.BIOS && !i.UEFI {
		bad("it boots by neither BIOS nor UEFI")
	}
	if i.Open == nil {
		bad("there is nothing to open")
	}
}

func checkServer(f Features, s *Server, bad func(string, ...any)) {
	_, flat := f.Lacks[KindNetwork]
	if s.Image == "" || s.Size == "" || s.Network == "" && !flat {
		bad("image, network or size is missing")
	}
	if s.Disk < 0 || s.Disk > 64<<40 {
		bad("a root disk of %d bytes", s.Disk)
	}
	if s.Private.IsValid() && !s.Private.Is4() {
		bad("its private address %v is not IPv4", s.Private)
	}
	if len(s.UserData) > f.UserData {
		bad("its user-data has %d bytes, more than %d", len(s.UserData), f.UserData)
	}
	seen := make(map[string]bool)
	for _, v := range s.Volumes {
		if v == "" || seen[v] {
			bad("volume %q is empty or there twice", v)
		}
		seen[v] = true
	}
}

func checkRule(r Rule) error {
	switch r.Protocol {
	case "tcp", "udp":
		if r.From == 0 || r.To < r.From {
			return fmt.Errorf("ports %d to %d are not a valid range", r.From, r.To)
		}
	case "icmp":
		if r.From != 0 || r.To != 0 {
			return errors.New("icmp has no ports")
		}
	default:
		return fmt.Errorf("protocol %q is neither tcp, udp nor icmp", r.Protocol)
	}
	if !r.Source.IsValid() || r.Source != r.Source.Masked() {
		return fmt.Errorf("source %v is not a network", r.Source)
	}
	return nil
}

// CheckPrivate says whether a server of network n can have the address: an invalid one (any) can; the network's own,
// the gateway's (the first) and the last cannot.
func CheckPrivate(n netip.Prefix, a netip.Addr) error {
	if !a.IsValid() {
		return nil
	}
	first := n.Masked().Addr()
	if !n.Contains(a) || a == first || a == first.Next() || !n.Contains(a.Next()) {
		return fmt.Errorf("%v is not an address for a server in %v: %w", a, n, ErrInvalid)
	}
	return nil
}

// isLabel says whether s is a DNS label in lower case of at most most characters (RFC 1123 section 2.1).
func isLabel(s string, most int) bool {
	return isName(s, most) && !strings.Contains(s, ".")
}

func isName(s string, most int) bool {
	if s == "" || len(s) > most {
		return false
	}
	for i := range len(s) {
		c := s[i]
		inner := (c == '-' || c == '.') && i > 0 && i < len(s)-1
		if !inner && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return !strings.Contains(s, "..")
}

// isPublicKey says whether s is one line of authorized_keys without options: the type, which the encoded key repeats
// at its start (RFC 4253 section 6.6), and perhaps a comment.
func isPublicKey(s string) bool {
	if strings.ContainsAny(s, "\n\r\x00") || len(s) > 16<<10 {
		return false
	}
	fields := strings.Fields(s)
	if len(fields) < 2 {
		return false
	}
	b, err := base64.StdEncoding.DecodeString(fields[1])
	return err == nil && len(b) > 4+len(fields[0]) &&
		bytes.HasPrefix(b, append([]byte{0, 0, 0, byte(len(fields[0]))}, fields[0]...))
}
