package job

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// CheckInPath is below the server's https address. POST CheckIn -> CheckedIn; there is no token: the key of the
// client's certificate says which machine it is.
const CheckInPath = "/v1/agent/check-in"

// MaxCheckIn is the most that the JSON of a CheckIn has, in bytes.
const MaxCheckIn = 4096

// CheckIn is what the service on an installed machine says every few minutes. Nothing in it names a machine: the key
// does. The server shows it, and believes none of it.
type CheckIn struct {
	Agent  string `json:"agent"`            // version and build date
	Root   string `json:"root"`             // the subvolume of /
	Sealed bool   `json:"sealed,omitempty"` // a TPM seals the machine's key
	// Notice is the number of the newest notice of the site that it has (package notice), 0 for none.
	Notice int64 `json:"notice,omitempty"`
	// Trouble is what the last check-in led to and could not be done, one line: a notice that was refused, an agent
	// that did not start.
	Trouble string `json:"trouble,omitempty"`
}

// Bounded returns c with printable strings, cut to what the server keeps.
func (c CheckIn) Bounded() CheckIn {
	c.Agent, c.Root, c.Trouble = Printable(c.Agent), clip(Sentence(c.Root)), Sentence(c.Trouble)
	c.Notice = max(c.Notice, 0)
	return c
}

// CheckedIn answers a check-in. Head and Notice are signed by the site's key; the rest counts for nothing beyond what
// TLS says.
type CheckedIn struct {
	Time    time.Time `json:"time"`
	Machine string    `json:"machine"`          // the server's name for this machine
	Next    int       `json:"next"`             // seconds until the next check-in, about
	Head    []byte    `json:"head,omitempty"`   // the signed head of the catalog, base64
	Notice  []byte    `json:"notice,omitempty"` // the signed notice, base64
}

// CheckIn checks in. The client needs no Hello, and its TLS configuration the machine's key.
func (c *Client) CheckIn(ctx context.Context, in CheckIn) (CheckedIn, error) {
	var out CheckedIn
	body, err := json.Marshal(in.Bounded())
	if err == nil {
		err = c.do(ctx, "POST", c.base+CheckInPath, "", body, &out)
	}
	if err != nil {
		return CheckedIn{}, fmt.Errorf("checking in: %w", err)
	}
	return out, nil
}
