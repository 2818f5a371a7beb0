// Package ref reads and writes the names of images and orders their versions.
//
// Call Parse for one image's name and ParseFilter for a pattern of names. A name is
//
//	[namespace/]name[:version|channel][@arch]     web, lab/web:20261120.1@amd64, web:stable, web:latest
//
// Versions order as dpkg orders them. The package is pure: it knows no store, and so not what a
// channel or "latest" means.
package ref

import (
	"errors"
	"fmt"
	"strings"
)

// ErrInvalid is wrapped by every error of Parse and ParseFilter.
var ErrInvalid = errors.New("bad image name")

// Latest is the reserved version that means the newest one.
const Latest = "latest"

// Ref names an image or several: [namespace/]name[:version|channel][@arch].
type Ref struct {
	Namespace string // "" for none
	Name      string
	Version   string // a version, a channel, "latest" or ""
	Arch      string // as Debian spells it ("amd64", "arm64"); "" where it was not said
}

const (
	maxName    = 64
	maxVersion = 64
	maxArch    = 16
)

// Parse reads a reference. Namespace, name and architecture consist of lower-case letters, digits and, not
// first, of ".", "_" and "-"; a version or channel of letters, digits and, not first, of "._+~-". Names are at most
// 64 characters long, architectures 16. An error says which part is wrong and why.
func Parse(s string) (Ref, error) {
	r, err := splitRef(s)
	if err != nil {
		return Ref{}, err
	}
	check := func(what, part string, max int, ok func(c byte, first bool) bool) {
		if err == nil {
			err = checkPart(what, part, max, ok)
		}
	}
	if r.Namespace != "" {
		check("namespace", r.Namespace, maxName, nameByte)
	}
	check("name", r.Name, maxName, nameByte)
	if r.Version != "" {
		check("version", r.Version, maxVersion, versionByte)
	}
	if r.Arch != "" {
		check("architecture", r.Arch, maxArch, nameByte)
	}
	if err != nil {
		return Ref{}, fmt.Errorf("%w %.200q: %w", ErrInvalid, s, err)
	}
	return r, nil
}

// splitRef cuts s at its separators. A separator that is there must be followed by something.
func splitRef(s string) (Ref, error) {
	bad := func(why string) (Ref, error) { return Ref{}, fmt.Errorf("%w %.200q: %s", ErrInvalid, s, why) }
	var r Ref
	rest, arch, ok := strings.Cut(s, "@")
	if r.Arch = arch; ok && arch == "" {
		return bad("there is no architecture after @")
	}
	rest, version, ok := strings.Cut(rest, ":")
	if r.Version = version; ok && version == "" {
		return bad("there is no version after the colon")
	}
	if strings.Contains(version, ":") {
		return bad("a version has no colon")
	}
	ns, name, ok := strings.Cut(rest, "/")
	if !ok {
		ns, name = "", rest
	} else if ns == "" {
		return bad("there is no namespace before the slash")
	}
	if strings.Contains(name, "/") {
		return bad("a name has at most one slash, between namespace and name")
	}
	r.Namespace, r.Name = ns, name
	return r, nil
}

func nameByte(c byte, first bool) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || !first && (c == '.' || c == '_' || c == '-')
}

func versionByte(c byte, first bool) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		!first && (c == '.' || c == '_' || c == '-' || c == '+' || c == '~')
}

func checkPart(what, s string, max int, ok func(c byte, first bool) bool) error {
	if s == "" {
		return fmt.Errorf("the %s is empty", what)
	}
	if len(s) > max {
		return fmt.Errorf("the %s is longer than %d characters", what, max)
	}
	for i, c := range s {
		if c < 0x80 && ok(byte(c), i == 0) {
			continue
		}
		if c < 0x80 && ok(byte(c), false) {
			return fmt.Errorf("a %s does not begin with %q", what, c)
		}
		return fmt.Errorf("%q is not allowed in a %s", c, what)
	}
	return nil
}

// String writes the reference in the form that Parse reads.
func (r Ref) String() string {
	s := r.Template()
	if r.Version != "" {
		s += ":" + r.Version
	}
	if r.Arch != "" {
		s += "@" + r.Arch
	}
	return s
}

// Template is the reference without version and architecture: what all versions share.
func (r Ref) Template() string {
	if r.Namespace == "" {
		return r.Name
	}
	return r.Namespace + "/" + r.Name
}

// FileName is the reference with "/" and ":" replaced by "+" and "@", so that it is one path component and differs
// between any two references: no namespace, name or architecture contains "+".
func (r Ref) FileName() string {
	return strings.NewReplacer("/", "+", ":", "@").Replace(r.String())
}

// Exact says whether r names exactly one image: as the documents spell it.
func (r Ref) Exact() bool { return r.Version != "" && r.Version != Latest && r.Arch != "" }

// Filter chooses images: a Ref whose parts may contain "*", which matches any characters or none. A part that is
// left out matches everything, but a filter without a namespace matches only images without one.
type Filter struct{ namespace, name, version, arch string }

// ParseFilter reads a filter, such as "web*", "web:2026*", "*/*" or "web:*@arm64".
func ParseFilter(s string) (Filter, error) {
	r, err := splitRef(s)
	if err != nil {
		return Filter{}, err
	}
	plain, err := splitRef(strings.ReplaceAll(s, "*", "x"))
	if err == nil {
		_, err = Parse(plain.String())
	}
	if err != nil {
		return Filter{}, err
	}
	f := Filter{r.Namespace, r.Name, r.Version, r.Arch}
	if f.version == "" {
		f.version = "*"
	}
	if f.arch == "" {
		f.arch = "*"
	}
	return f, nil
}

func ParseFilters(filters []string) ([]Filter, error) {
	var out []Filter
	for _, s := range filters {
		f, err := ParseFilter(s)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// Match says whether r matches the filter.
func (f Filter) Match(r Ref) bool {
	return glob(f.namespace, r.Namespace) && glob(f.name, r.Name) && glob(f.version, r.Version) && glob(f.arch, r.Arch)
}

// glob matches s against a pattern in which only "*" is special, in time len(pattern)*len(s) at worst.
func glob(pattern, s string) bool {
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && pattern[p] == s[i]:
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
