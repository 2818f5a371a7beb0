package remote

import (
	"errors"

	"griddle/imagestore/blob"
	"griddle/imagestore/head"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
)

// Access is who may use a route of Handler.
type Access int

// The kinds of access. The zero value is the strictest, so that a route without one is closed.
const (
	Administers Access = iota // an administrator
	Publishes                 // and a publisher for what its key signed
	Reads                     // everyone; if images are private, anyone with a valid token
)

// Role is what a caller of Handler may do. Each role may do what the ones before it may, but a Publisher only what
// its key may sign.
type Role int

// The roles.
const (
	Stranger      Role = iota // not known
	Reader                    // a machine with a job
	Publisher                 // may upload blobs, and publish what its key signed and may sign
	Administrator             // may do everything
)

// Caller is who calls.
type Caller struct {
	Role   Role
	Person bool               // an operator, and not a machine
	Key    minisign.PublicKey // of a Publisher that is known by its key
	// Names says which images a Publisher without a Key may publish, by whichever trusted key they are signed.
	Names func(ref.Ref) bool
}

// Route is one call of Handler.
type Route struct {
	Pattern string // as http.ServeMux has it
	Access  Access
}

// Routes lists every call of Handler. One of them has a further limit: only administrators get a tar archive, or a
// delta that must be made first.
func Routes() []Route {
	return []Route{
		{"GET " + ImagesPath, Reads},
		{"GET " + ImagesPath + "/show", Reads},
		{"GET " + ImagesPath + "/stream", Reads},
		{"POST " + ImagesPath + "/derive", Administers},
		{"POST " + LeasesPath, Reads},
		{"DELETE " + LeasesPath + "/{id}", Reads},
		{"GET " + CatalogPath, Reads},
		{"GET " + head.Path, Reads},
		{"GET " + SitePath, Reads},
		{"POST " + CatalogPath, Publishes},
		{"GET " + blob.Path + "/{digest}", Reads}, // HEAD too
		{"PUT " + blob.Path + "/{digest}", Publishes},
		{"POST " + blob.Path, Publishes},
		{"GET " + blob.Path + "/{digest}/partial", Publishes},
		{"DELETE " + blob.Path + "/{digest}/partial", Publishes},
		{"DELETE " + blob.Path + "/{digest}", Administers},
		{"GET " + blob.Path, Administers},
	}
}

// Work is what a request uses until it is answered.
type Work string

// The kinds of work.
const (
	Streams Work = "image streams" // memory of decoders
	Lists   Work = "image lists"   // memory of the catalog and of what is made of it
	Bodies  Work = "request bodies"
	Leases  Work = "leases being made"
)

// Held is what was taken from a budget.
type Held interface {
	Grow(bytes int64) error
	Release()
}

// ErrLimit is wrapped if a server has reached a limit of its budget. Try again a little later.
var ErrLimit = errors.New("the server is busy")

type noBounds struct{}

func (noBounds) Grow(int64) error { return nil }
func (noBounds) Release()         {}
