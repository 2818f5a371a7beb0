// Package cloud creates the servers of a stack file at a provider, and keeps them as they are declared.
//
// Fill in a Cloud and call Up; Plan returns what Up would do, and why. Scale, Upgrade, Control, Delete and Adopt are
// the other verbs, Status and Targets show what a stack has, and Collect removes old images.
//
// The provider says which resources a stack has (provider.Provider.List), never a file. Package plan compares them with
// the declaration; package state keeps what the provider cannot be asked for.
//
// A run may be killed anywhere. The next one finds the resources by their labels and what they were created from in the
// state, continues there and creates nothing twice. A second run at the same time is refused (state.HeldError). A Cloud
// may be used by several goroutines.
package cloud

import (
	"context"
	"net/netip"
	"time"

	"griddle/cloud/plan"
	"griddle/cloud/provider"
	"griddle/cloud/stack"
	"griddle/cloud/state"
)

// Cloud has everything that the verbs need.
type Cloud struct {
	State    state.Stacks      // what is kept of each stack
	Secrets  state.Secrets     // where the values of the stack file's secrets are
	Provider provider.Provider // where the stacks stand
	Images   Images
	Shell    Shell
	Render   plan.Renderer
	// of what a server's user-data is made from; nil for that of the user-data, references as written
	Declared func(stack.Server) (digest string, err error)
	// the public key that the provider gets to know, one line of authorized_keys; may be empty
	Key string
	// what the holder of the lock does, such as "griddle cloud up"
	Command string
	// called with what happens, by one goroutine at a time; may be nil
	Report func(Event)
	Jitter func() float64 // in [0, 1), spreads repetitions; nil for math/rand's
}

// Images are the systems that servers are made from.
type Images interface {
	// Resolve says which version a reference of a stack file means now: web:stable is web:20261120.1.
	Resolve(ctx context.Context, ref, arch string) (version string, err error)

	// Check says what is wrong with a version that Resolve returned, for servers that are to be made from it: what must
	// be there for their first boot and is not, all of it at once. It reads no more of it than what the catalog knows
	// beside the bytes.
	Check(ctx context.Context, version, arch string, servers []stack.Server, f provider.Format) error

	// Build gives the bytes of a version that Resolve returned; those that it built before where it has them still.
	Build(ctx context.Context, version, arch string, format provider.Format) (provider.Image, error)
}

// Shell runs commands on servers.
type Shell interface {
	// Run runs a command by the login shell of a server's admin, without a terminal. exit is what it ended with; an
	// error means that it is not known to have ended: the server does not answer, or refuses the login. Run ends with
	// ctx.
	Run(ctx context.Context, t Target, command string) (stdout []byte, exit int, err error)
}

// Target is how a server's ssh server is reached.
type Target struct {
	Stack, Server, User string
	Address             netip.Addr
	Port                uint16
	Via                 *Target // a server of the stack to go through, where the address is a private one; may be nil
}

// Event is something that happens while a stack is worked with.
type Event struct {
	Time  time.Time     `json:"time"`
	Stage int           `json:"stage"` // from 1
	Of    int           `json:"of"`    // how many stages there are
	Title string        `json:"title"`
	Text  string        `json:"text,omitempty"` // something within the stage; empty for its begin and end
	Done  bool          `json:"done,omitempty"` // it ended, with Err where it failed
	Took  time.Duration `json:"took,omitempty"`
	Log   string        `json:"log"` // path of the stage's log
	Err   error         `json:"-"`
}
