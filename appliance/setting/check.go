package setting

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"griddle/appliance/job"
)

// Limits of one document.
const (
	maxUsers      = 200
	maxKeys       = 100 // of one user
	maxInterfaces = 64
	maxFiles      = 500
	maxHooks      = 50
	maxList       = 100 // entries of every other list
)

// minEvery is how often a configurator may run.
const minEvery = time.Minute

// MinSwap and MaxSwap are the sizes of the smallest and of the largest swap file.
const (
	MinSwap = Size(1 << 20)
	MaxSwap = Size(1 << 40)
)

var (
	account       = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`) // Debian's adduser, NAME_REGEX
	label         = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	domain        = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)
	host          = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.:-]{0,252}$`)
	zone          = regexp.MustCompile(`^[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,2}$`)
	locale        = regexp.MustCompile(`^[A-Za-z0-9_.@-]{1,64}$`)
	keymap        = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
	interfaceName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,15}$`)
	hookName      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	owner         = regexp.MustCompile(`^([a-z_][a-z0-9_-]{0,31}|[0-9]{1,9})$`)
	branch        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._/-]{0,127}$`)
	// of crypt(5), the methods whose hashes take long to try: yescrypt, gost-yescrypt, scrypt, bcrypt, SHA-512, SHA-256
	passwordHash = regexp.MustCompile(`^(\$(y|gy|7|2[aby]|6|5)\$[./A-Za-z0-9=,$]{8,200}|[!*])$`)
)

// Check reports every mistake in settings after Resolve.
func (s Settings) Check() error { return s.check(false) }

// check is Check; of a part of the settings, what others may add is not a mistake.
func (s Settings) check(part bool) error {
	c := &checker{part: part}
	c.names(s)
	c.password("root.passwordHash", s.Root.PasswordHash)
	c.keys("root.keys", s.Root.Keys)
	c.users(s.Users)
	c.ssh(s)
	c.network(s.Network)
	c.each("ntp", s.NTP, func(n string) bool { return host.MatchString(n) }, "a hostname or an address")
	c.proxy(s.Proxy)
	c.authorities(s.CA)
	c.files(s.Files)
	c.hooks(s.Hooks)
	if s.Configure != nil {
		c.configure(*s.Configure)
	}
	if n := s.Updates.Server; n != "" && n != Required && n != Optional {
		c.wrong("updates.server", "%s is not required or optional", quote(string(n)))
	}
	c.passphrase(s.Disks.Passphrase)
	c.keep(s.Keep)
	if err := job.KernelArgs(s.Args); err != nil {
		c.wrong("args", "%v", err)
	}
	if s.Swap != 0 && (s.Swap < MinSwap || s.Swap > MaxSwap) {
		c.wrong("swap", "%d bytes is not between 1M and 1T: give a size with a unit, such as 4G", s.Swap)
	}
	if !utf8.ValidString(s.UserData) || strings.ContainsRune(s.UserData, 0) {
		c.wrong("userData", "it is not text")
	}
	return errors.Join(c.errs...)
}

// checker gathers mistakes.
type checker struct {
	errs []error
	part bool
}

func (c *checker) wrong(at, format string, args ...any) {
	c.errs = append(c.errs, Mistake{at, fmt.Sprintf(format, args...)})
}

// each checks a list of text: its length, each entry, and that none is in it twice.
func (c *checker) each(at string, all []string, ok func(string) bool, what string) {
	if len(all) > maxList {
		c.wrong(at, "it has %d entries, the limit is %d", len(all), maxList)
		return
	}
	for i, s := range all {
		if !ok(s) {
			c.wrong(fmt.Sprintf("%s[%d]", at, i), "%s is not %s", quote(s), what)
		} else if slices.Contains(all[:i], s) {
			c.wrong(fmt.Sprintf("%s[%d]", at, i), "%s is in the list twice", quote(s))
		}
	}
}

func (c *checker) domains(at string, all []string) {
	c.each(at, all, isDomain, "a domain such as example.org")
}

func isDomain(s string) bool { return len(s) <= 253 && domain.MatchString(s) }

func (c *checker) nameServers(at string, all []netip.Addr) {
	for i, a := range all {
		if !a.IsValid() || a.Zone() != "" || a.Is4In6() || a.IsMulticast() || a.IsUnspecified() {
			c.wrong(fmt.Sprintf("%s[%d]", at, i), "%s is not the address of a name server", quote(a.String()))
		}
	}
}

func (c *checker) names(s Settings) {
	if s.Version != 0 && s.Version != Version {
		c.wrong("version", "this is version %d of the settings, this program knows up to %d: use a newer griddle",
			s.Version, Version)
	}
	match := func(at, value string, ok bool, what string) {
		if value != "" && !ok {
			c.wrong(at, "%s is not %s", quote(value), what)
		}
	}
	match("hostname", s.Hostname, label.MatchString(s.Hostname),
		"a hostname: letters a to z, digits and hyphens, at most 63 (the domain has its own key)")
	match("domain", s.Domain, isDomain(s.Domain), "a domain such as example.org")
	match("zone", s.Zone, zone.MatchString(s.Zone), "a time zone such as Europe/Berlin")
	match("locale", s.Locale, locale.MatchString(s.Locale), "a locale such as de_DE.UTF-8")
	match("keymap", s.Keymap, keymap.MatchString(s.Keymap), "a keymap such as de or us")
}

func (c *checker) proxy(s string) {
	if s == "" {
		return
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		c.wrong("proxy", "it is not an http or https URL") // without quoting what may have a password in it
	case u.User != nil:
		c.wrong("proxy", "the URL has a user in it, which everyone on the machine could read")
	case strings.ContainsAny(s, " \t\r\n'\"\\;`$"):
		c.wrong("proxy", "the URL has characters in it that mean something else in shells")
	}
}

func (c *checker) authorities(all []string) {
	if len(all) > maxList {
		c.wrong("ca", "it has %d entries, the limit is %d", len(all), maxList)
		return
	}
	for i, text := range all {
		at := fmt.Sprintf("ca[%d]", i)
		block, rest := pem.Decode([]byte(text))
		if block == nil || block.Type != "CERTIFICATE" || strings.TrimSpace(string(rest)) != "" {
			c.wrong(at, "it is not one certificate in PEM")
		} else if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			c.wrong(at, "%v", err)
		}
	}
}
