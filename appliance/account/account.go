// Package account says who may do what: accounts with roles, their tokens, and the log of what callers changed.
//
// Call Open in the server, Store.Find for each request that has a token, and Store.Begin before a call that changes
// something. A role allows what its line has:
//
//	           read   orders, machines   publish   accounts, tokens of others, keys, deletion of images
//	viewer     yes
//	operator   yes    yes
//	publisher  yes                       yes
//	admin      yes    yes                yes       yes
//
// A publisher publishes the names that one of its patterns admits, and no others.
//
// Everything is in one SQLite file. What a call changed is on the disk when it returns nil (synchronous=FULL). A
// password is kept as its argon2id hash, a token as its SHA-256. A Store may be used by several goroutines at once.
//
// Sources: RFC 9106 (argon2), NIST SP 800-63B section 3.1.1 (passwords: long ones, no rules about characters).
package account

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"griddle/imagestore/ref"
)

// Role is what a caller may do. The zero value may do nothing.
type Role string

// The roles.
const (
	Viewer    Role = "viewer"
	Operator  Role = "operator"
	Publisher Role = "publisher"
	Admin     Role = "admin"
)

// Roles lists them, the least first.
func Roles() []Role { return []Role{Viewer, Operator, Publisher, Admin} }

// May says whether r may do what needs this role. No role may do what needs none or an unknown one.
func (r Role) May(needs Role) bool {
	switch needs {
	case Viewer:
		return r == Viewer || r == Operator || r == Publisher || r == Admin
	case Operator, Publisher:
		return r == needs || r == Admin
	case Admin:
		return r == Admin
	}
	return false
}

// both is the role that may do what r and other both may do, "" for nothing.
func (r Role) both(other Role) Role {
	switch {
	case r.May(other):
		return other
	case other.May(r):
		return r
	case r.May(Viewer) && other.May(Viewer):
		return Viewer
	}
	return ""
}

// Who is a caller that proved who it is.
type Who struct {
	Name     string   // of the account or, for a token that belongs to no account, of the token
	Role     Role     // what it may do with what it proved itself by
	Prefixes []string // patterns of the names that a publisher may publish, such as "web*"; with none it publishes none
	// Token is the ID of the token; not a secret.
	Token string
	Until time.Time // when the token expires; zero for never
}

// Publishes says whether w may publish an image of this name.
func (w Who) Publishes(name ref.Ref) bool {
	return w.Role == Admin || w.Role == Publisher && admit(w.Prefixes, name)
}

func admit(patterns []string, name ref.Ref) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		f, err := ref.ParseFilter(p)
		return err == nil && f.Match(name)
	})
}

// The errors of this package that callers branch on.
var (
	ErrInvalid = errors.New("invalid")                 // what was asked for is not valid
	ErrUnknown = errors.New("does not exist")          // the account or the token
	ErrExists  = errors.New("there is one already")    // an account of that name
	ErrToken   = errors.New("the token is not valid")  // unknown, expired or deleted
	ErrLogin   = errors.New("name or password wrong")  // it does not say which of them
	ErrGuesses = errors.New("too many wrong logins")   // from there, or for this account
	ErrBusy    = errors.New("too many logins at once") // try again in a moment
	ErrAudit   = errors.New("the audit log cannot be written, so nothing was changed")
	ErrMore    = errors.New("a caller cannot give more than it has")
)

const (
	maxPrefixes = 64
	maxLabel    = 64 // bytes of the name of a token
)

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._@-]{0,63}$`)

// AdminToken is the name of the caller that has the administrator's token of the state directory.
const AdminToken = "admin.token"

func checkName(name string) error {
	if !nameForm.MatchString(name) || name == AdminToken {
		return fmt.Errorf("%w: the name %.80q: a name has 1 to 64 of the characters a-z 0-9 . _ @ -, begins with a "+
			"letter or a digit, and is not %s", ErrInvalid, name, AdminToken)
	}
	return nil
}

// checkRole checks a role with the patterns that go with it.
func checkRole(r Role, prefixes []string) error {
	if !slices.Contains(Roles(), r) {
		return fmt.Errorf("%w: the role %.40q: it is one of viewer, operator, publisher and admin", ErrInvalid, r)
	}
	if r != Publisher && len(prefixes) > 0 {
		return fmt.Errorf("%w: only the role publisher has patterns of names", ErrInvalid)
	}
	if r == Publisher && len(prefixes) == 0 {
		return fmt.Errorf("%w: a publisher needs at least one pattern of names, such as web*; * is all names",
			ErrInvalid)
	}
	if len(prefixes) > maxPrefixes {
		return fmt.Errorf("%w: %d patterns of names are more than %d", ErrInvalid, len(prefixes), maxPrefixes)
	}
	for _, p := range prefixes {
		if _, err := ref.ParseFilter(p); err != nil {
			return fmt.Errorf("%w: the pattern of names %.200q: %w", ErrInvalid, p, err)
		}
		if strings.ContainsAny(p, ":@") {
			return fmt.Errorf("%w: the pattern of names %.200q has a version or an architecture", ErrInvalid, p)
		}
	}
	return nil
}
