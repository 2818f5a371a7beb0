// Package notice reads and writes the notice of a site: what its installed machines should know now. That is where the
// server is, which CAs its certificate may be signed by, whose signatures count, and which agent is the newest.
//
// The server calls Sign with the site's key when something changes. A machine calls Open with the site's public key,
// which its install left there, and Newer before it replaces the notice that it has.
//
// A signed notice has five lines, like every document (package document). The first one is a Notice as JSON.
//
// A key that the notice does not list counts for nothing: it was never trusted, or it is revoked. A CA is replaced in
// two steps, so that no machine is lost: first the notice lists both, later only the next one. Seq grows with each
// notice, and a machine never accepts a lower one. So neither an old copy of the server nor someone who recorded an
// old notice can bring a key, a CA or an agent back.
//
// A notice is not secret. Readers ignore members that they do not know.
package notice

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"griddle/appliance/site"
	"griddle/imagestore/document"
	"griddle/imagestore/minisign"
)

// Format is the format of the document.
const Format = "griddle-notice/1"

const (
	maxNotice = 1 << 20  // bytes of a signed notice
	maxAgent  = 64 << 20 // bytes of an agent
	maxText   = 128      // bytes of a version
)

// ErrOlder is wrapped if a notice is older than the one that a machine has.
var ErrOlder = errors.New("notice is older than one that this machine has seen")

// Notice is the document.
type Notice struct {
	Format string    `json:"format"` // Format; Sign fills it in
	Key    string    `json:"key"`    // ID of the site's key; likewise
	Seq    int64     `json:"seq"`    // grows with each notice, not always by one
	Time   time.Time `json:"time"`   // when it was signed, UTC
	At     site.Site `json:"at"`     // server, CAs and keys; Catalog as it was then
	Agent  *Agent    `json:"agent,omitempty"`
}

// Agent is the newest agent for installed machines.
type Agent struct {
	Version string `json:"version"` // for people
	Built   int64  `json:"built"`   // seconds since 1970; a machine never takes one that is not newer than its own
	Size    int64  `json:"size"`    // bytes
	SHA256  string `json:"sha256"`  // 64 lower-case hex digits
	Path    string `json:"path"`    // below the server's http address, "/boot/griddle-agent"
}

func (a *Agent) validate() error {
	switch {
	case a == nil:
		return nil
	case a.Built <= 0 || a.Size <= 0 || a.Size > maxAgent:
		return fmt.Errorf("an agent of %d bytes, built at %d, is not possible", a.Size, a.Built)
	case len(a.Version) > maxText || len(a.Path) > maxText || !strings.HasPrefix(a.Path, "/"):
		return fmt.Errorf("the agent's version %.40q or path %.40q is not valid", a.Version, a.Path)
	}
	return document.CheckSHA256(a.SHA256)
}

func (n Notice) validate() error {
	switch {
	case n.Format != Format:
		return fmt.Errorf("format is %.40q, want %q", n.Format, Format)
	case n.Seq <= 0:
		return fmt.Errorf("number %d is not possible", n.Seq)
	}
	return errors.Join(minisign.CheckID(n.Key), n.At.Validate(), n.Agent.validate())
}

// Newer returns ErrOlder if n must not replace have, the notice that the machine has; the zero value for none.
func (n Notice) Newer(have Notice) error {
	if n.Seq < have.Seq {
		return fmt.Errorf("%w: it has number %d, and %d of %s was seen", ErrOlder, n.Seq, have.Seq,
			have.Time.Format(time.RFC3339))
	}
	return nil
}

// Sign makes the signed document.
func (n Notice) Sign(k *minisign.SecretKey) ([]byte, error) {
	n.Format, n.Key, n.Time = Format, k.Public().ID(), n.Time.UTC().Truncate(time.Second)
	err := n.validate()
	var out []byte
	if err == nil {
		out, err = document.MarshalLine(n)
	}
	if err == nil {
		out = append(out, k.Sign(out, fmt.Sprintf("griddle notice %d timestamp:%d", n.Seq, n.Time.Unix()))...)
		if len(out) > maxNotice {
			err = fmt.Errorf("%d bytes are more than the %d that machines accept", len(out), maxNotice)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("signing notice: %w", err)
	}
	return out, nil
}

// Open checks a signed notice of the site whose public key is k, and decodes it.
func Open(b []byte, k minisign.PublicKey) (Notice, error) {
	var n Notice
	err := error(nil)
	if len(b) > maxNotice {
		err = fmt.Errorf("%d bytes are more than it may have", len(b))
	}
	if err == nil {
		_, err = document.Open(b, document.NewTrust(k), &n)
	}
	if err == nil {
		err = n.validate()
	}
	if err == nil && n.Key != k.ID() {
		err = fmt.Errorf("%w: it is of site %s, and signed by %s", minisign.ErrSignature, n.Key, k.ID())
	}
	if err != nil {
		return Notice{}, fmt.Errorf("reading notice: %w", err)
	}
	return n, nil
}
