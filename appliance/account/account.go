// Package account says who may do what: roles, and who a caller is.
//
// A role allows what its column has:
//
//	           read   orders, machines   publish   accounts, tokens, keys, deletion of images
//	viewer     yes
//	operator   yes    yes
//	publisher  yes                       yes
//	admin      yes    yes                yes       yes
//
// A publisher publishes below its prefixes only.
package account

import "time"

// Role is what a caller may do. The zero value may do nothing.
type Role string

// The roles.
const (
	Viewer    Role = "viewer"
	Operator  Role = "operator"
	Publisher Role = "publisher"
	Admin     Role = "admin"
)

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

// Who is a caller that proved who it is.
type Who struct {
	Name     string   // of the account or, for a token that belongs to no account, of the token
	Role     Role     // what it may do with what it proved itself by
	Prefixes []string // of the names of images that it may publish; with none, a publisher publishes nothing
	// Token is the ID of the token; it is no secret.
	Token string
	Until time.Time // when the token expires; zero for never
}
