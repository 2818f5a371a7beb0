package secure

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// check reports every mistake at once.
func (s *Server) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	match := func(pattern, value string) bool {
		return regexp.MustCompile(`^(?:` + pattern + `)$`).MatchString(value)
	}

	if !match(`[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`, s.Hostname) {
		bad("the hostname %q is not a DNS label", s.Hostname)
	}
	if i := slices.IndexFunc(s.Users, func(u User) bool { return u.Name == s.Admin }); i < 0 || !s.Users[i].Sudo {
		bad("the admin %q is not a user with sudo", s.Admin)
	}
	seen := map[string]bool{}
	for _, u := range s.Users {
		switch {
		case !match(`[a-z_][a-z0-9_-]{0,31}`, u.Name), u.Name == "root":
			bad("%q is not a name for a user", u.Name)
		case seen[u.Name]:
			bad("the user %s is in the list twice", u.Name)
		case len(u.Keys) == 0:
			bad("the user %s has no key", u.Name)
		}
		seen[u.Name] = true
		for _, k := range u.Keys {
			if _, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(k)); err != nil || len(rest) > 0 ||
				strings.ContainsAny(strings.TrimSpace(k), "\r\n") {
				bad("a key of the user %s is not a line of authorized_keys", u.Name)
			}
		}
		for _, g := range u.Groups {
			if !match(`[a-z_][a-z0-9_-]{0,31}`, g) {
				bad("%q is not a name for a group", g)
			}
		}
	}
	for _, g := range s.Guests {
		if !match(`[a-z_][a-z0-9_-]{0,31}`, g) || g == "root" || seen[g] {
			bad("%q cannot be the name of a user, or is in the list twice", g)
		}
		seen[g] = true
	}
	if s.HostKey != "" {
		if k, err := ssh.ParsePrivateKey([]byte(s.HostKey)); err != nil || k.PublicKey().Type() != ssh.KeyAlgoED25519 {
			bad("the host key is not an ed25519 key without a passphrase")
		}
	}
	for _, p := range s.Ports {
		switch {
		case p.Protocol == "icmp" && p.From == 0 && p.To == 0:
		case p.Protocol != "tcp" && p.Protocol != "udp":
			bad("the protocol %q is not tcp, udp or icmp with ports", p.Protocol)
		case p.From == 0 || p.To < p.From:
			bad("the ports %d to %d are not a range", p.From, p.To)
		}
		errs = append(errs, prefixes(p.Source))
	}
	errs = append(errs, prefixes(s.SSH.From), prefixes(s.Inside))
	labels := map[string]bool{}
	for _, v := range s.Volumes {
		if !match(`[a-z0-9][a-z0-9-]{0,62}`, v.Name) || labels[v.Name] {
			bad("the volume's name %q is not a DNS label, or is in the list twice", v.Name)
		}
		labels[v.Name] = true
		if !match(`(/[A-Za-z0-9_.-]+)+`, v.Mount) || path.Clean(v.Mount) != v.Mount || labels[v.Mount] {
			bad("the mount point %q is not a path of letters, digits and _.- in its shortest form, "+
				"or is in the list twice", v.Mount)
		}
		labels[v.Mount] = true
		if v.Size < 0 {
			bad("the volume %s has a negative size", v.Name)
		}
	}
	for _, n := range s.NTP {
		if !match(`[A-Za-z0-9][A-Za-z0-9.:-]{0,252}`, n) {
			bad("the time server %q is not a hostname or address", n)
		}
	}
	for _, d := range s.DNS {
		if !d.IsValid() || d.Zone() != "" {
			bad("the name server %q is not an address", d)
		}
	}
	if s.Zone != "" && (!match(`[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*`, s.Zone)) {
		bad("%q is not a time zone", s.Zone)
	}
	if s.Locale != "" && !match(`[A-Za-z0-9_.@-]+`, s.Locale) {
		bad("%q is not a locale", s.Locale)
	}
	errs = append(errs, proxy(s.Proxy), Authorities(s.CA))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("securing %s: %w", s.Hostname, err)
	}
	return nil
}

func prefixes(list []netip.Prefix) error {
	for _, p := range list {
		if !p.IsValid() || p.Addr().Is4In6() {
			return fmt.Errorf("%q is not a network", p)
		}
	}
	return nil
}

func proxy(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return errors.New("the proxy is not an http or https URL") // without quoting what may have a password in it
	case u.User != nil:
		return errors.New("the proxy's URL has a user in it, which everyone on the server could read")
	case strings.ContainsAny(s, " \t\r\n'\"\\;`$"):
		return errors.New("the proxy's URL has characters in it that have another meaning in shells or apt")
	}
	return nil
}

// Authorities says what is wrong with PEM certificates that are to be trusted; nil for none at all.
func Authorities(text string) error {
	rest := []byte(strings.TrimSpace(text))
	for len(rest) > 0 {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" {
			return errors.New("the CA is not PEM certificates alone")
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("the CA: %w", err)
		}
		rest = []byte(strings.TrimSpace(string(rest)))
	}
	return nil
}
