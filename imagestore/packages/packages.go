// Package packages has lists of the packages that trees have installed, and compares them.
//
// Package installed reads a List from a tree. Write it with List.WriteTo, read it with Parse, compare two with Diff.
//
// # Format
//
// Text, each line ended by one newline. The first names the package manager, the others have the fields name, version
// and architecture, separated by one tab:
//
//	griddle-packages 1 dpkg
//	adduser	3.134	all
//	libc6	2.36-9+deb12u10	amd64
//	libc6	2.36-9+deb12u10	i386
//
// The manager is dpkg, rpm, pacman or apk. A version is the manager's own, in full: with an epoch where there is one,
// and the release: "1:2.30.2-1". Fields are 1 to 255 bytes of 0x21…0x7e; an architecture that is not known is "-".
// Lines are ordered by the bytes of name, architecture, version, and no two are equal: a list can be written in one
// way only, and Parse refuses any other.
//
// # Limits
//
// A list has at most MaxPackages packages and MaxSize bytes.
//
// Sources for the order of versions: deb-version(7); rpm's rpmio/rpmvercmp.c; pacman's lib/libalpm/version.c;
// apk-tools' src/version.c and test/version.data.
package packages

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The package managers that are known.
const (
	Dpkg   = "dpkg"
	RPM    = "rpm"
	Pacman = "pacman"
	APK    = "apk"
)

const (
	// MaxPackages is the most packages of a list.
	MaxPackages = 1 << 17
	// MaxSize is the longest text of a list, in bytes.
	MaxSize  = 16 << 20
	maxField = 255
	header   = "griddle-packages 1 "
)

// Errors on which callers branch.
var (
	// ErrFormat is wrapped by every error of Parse.
	ErrFormat = errors.New("not a list of packages")
	// ErrManager is wrapped if a package manager is not known.
	ErrManager = errors.New("unknown package manager")
)

// Package is one installed package.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch"` // as the manager writes it; "-" if it is not known
}

// List is the packages of a tree, in the order of the format after Sort.
type List struct {
	Manager  string    `json:"manager"`
	Packages []Package `json:"packages"`
}

func compare(a, b Package) int {
	for _, f := range [][2]string{{a.Name, b.Name}, {a.Arch, b.Arch}, {a.Version, b.Version}} {
		if c := strings.Compare(f[0], f[1]); c != 0 {
			return c
		}
	}
	return 0
}

// Sort sorts the list into the order of the format, and removes duplicates.
func (l *List) Sort() {
	slices.SortFunc(l.Packages, compare)
	l.Packages = slices.Compact(l.Packages)
}

// Check returns an error if a field of the package is not valid.
func (p Package) Check() error {
	for _, f := range []struct{ what, s string }{{"name", p.Name}, {"version", p.Version}, {"architecture", p.Arch}} {
		if f.s == "" || len(f.s) > maxField {
			return fmt.Errorf("the %s of package %.80q has %d bytes, not 1 to %d", f.what, p.Name, len(f.s), maxField)
		}
		if i := strings.IndexFunc(f.s, func(r rune) bool { return r < 0x21 || r > 0x7e }); i >= 0 {
			return fmt.Errorf("the %s of package %.80q has a byte that is not allowed: %.80q", f.what, p.Name, f.s)
		}
	}
	return nil
}

func known(manager string) error {
	if !slices.Contains([]string{Dpkg, RPM, Pacman, APK}, manager) {
		return fmt.Errorf("%w %.40q", ErrManager, manager)
	}
	return nil
}

func (l *List) check() error {
	if err := known(l.Manager); err != nil {
		return err
	}
	if len(l.Packages) > MaxPackages {
		return fmt.Errorf("%d packages are more than %d", len(l.Packages), MaxPackages)
	}
	for i, p := range l.Packages {
		if err := p.Check(); err != nil {
			return err
		}
		if i > 0 && compare(l.Packages[i-1], p) >= 0 {
			return fmt.Errorf("package %s is out of order", p.Name)
		}
	}
	return nil
}

// WriteTo writes the text. The list must be in order.
func (l *List) WriteTo(w io.Writer) (int64, error) {
	if err := l.check(); err != nil {
		return 0, fmt.Errorf("writing package list: %w", err)
	}
	var b bytes.Buffer
	b.WriteString(header + l.Manager + "\n")
	for _, p := range l.Packages {
		b.WriteString(p.Name + "\t" + p.Version + "\t" + p.Arch + "\n")
	}
	if b.Len() > MaxSize {
		return 0, fmt.Errorf("writing package list: %d bytes are more than %d", b.Len(), MaxSize)
	}
	n, err := w.Write(b.Bytes())
	return int64(n), err
}

// Parse reads the text of a list.
func Parse(b []byte) (List, error) {
	fail := func(err error) (List, error) { return List{}, fmt.Errorf("%w: %w", ErrFormat, err) }
	if len(b) > MaxSize {
		return fail(fmt.Errorf("%d bytes are more than %d", len(b), MaxSize))
	}
	text, ended := strings.CutSuffix(string(b), "\n")
	lines := strings.Split(text, "\n")
	manager, ok := strings.CutPrefix(lines[0], header)
	if !ok || !ended {
		return fail(errors.New("it does not begin with " + header + "or end with a newline"))
	}
	l := List{Manager: manager, Packages: make([]Package, 0, len(lines)-1)}
	for i, line := range lines[1:] {
		f := strings.Split(line, "\t")
		if len(f) != 3 {
			return fail(fmt.Errorf("line %d has %d fields, not 3", i+2, len(f)))
		}
		l.Packages = append(l.Packages, Package{f[0], f[1], f[2]})
	}
	if err := l.check(); err != nil {
		return fail(err)
	}
	return l, nil
}
