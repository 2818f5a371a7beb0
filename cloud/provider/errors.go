package provider

import (
	"errors"
	"net"
	"time"
)

// What a caller can do about an error. An implementation wraps one of them with what was asked and the
// provider's own words.
var (
	ErrCredentials = errors.New("the credentials are refused")         // wrong, expired, or not allowed to do this
	ErrQuota       = errors.New("the quota is used up")                // or there is no room at the provider
	ErrTaken       = errors.New("the name is taken by something else") // that does not have our labels
	ErrNotFound    = errors.New("it does not exist")                   // an ID that is named is gone
	ErrUnsupported = errors.New("this provider cannot do that")        // see Features.Lacks
	// a size, a range or a name that it does not take
	ErrInvalid = errors.New("the provider refuses what was asked")
	// 409 of something in transition, 429, 5xx, timeouts, refused connections
	ErrTemporary = errors.New("the provider cannot answer right now")
)

// Retry is a temporary error that says when to ask again. errors.Is(err, ErrTemporary) holds for it.
type Retry struct {
	After time.Duration
	Err   error
}

// Error returns the cause alone.
func (r *Retry) Error() string { return r.Err.Error() }

// Unwrap returns ErrTemporary and the cause.
func (r *Retry) Unwrap() []error { return []error{ErrTemporary, r.Err} }

// DialTimeout is how long making a connection to a provider may take: one that is there answers within a second or two.
const DialTimeout = 10 * time.Second

// ErrUnreachable is wrapped, beside ErrTemporary, where no connection could be made: the name is not known, nothing
// listens there, or nothing answers. Where it is the first thing that a provider ever says, its address is probably
// wrong, or there is no network.
var ErrUnreachable = errors.New("it cannot be reached")

// Unreachable says whether err is a connection that could not be made.
func Unreachable(err error) bool {
	var dns *net.DNSError
	var op *net.OpError
	return errors.As(err, &dns) || errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
}
