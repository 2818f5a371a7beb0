// Package webhook sends events to other programs by HTTP, signed as Standard Webhooks has it
// (github.com/standard-webhooks/standard-webhooks, specification 1.0.0). Read the secrets with ReadSecret, and call Run
// with the hooks and what gives it the events.
//
//	POST URL
//	content-type: application/json
//	webhook-id: msg_RANDOM_NUMBER        the same each time that an event is sent
//	webhook-timestamp: SECONDS           of this attempt
//	webhook-signature: v1,BASE64         HMAC-SHA256 of ID.TIMESTAMP.BODY
//
//	{"type":"job.done","timestamp":"2026-11-30T12:00:00Z","data":{…}}
//
// Events are numbered, and of each hook a file keeps the number of the last one that it got. So nothing is sent before
// what came earlier, a restart loses nothing, and an event is sent again if the server ends before the file has it. A
// hook that does not answer with 2xx gets the event again, later and later, for a day; then it is given up. How much
// waits is bounded by the source of the events.
//
// A hook does not reach private addresses unless it says so, is not redirected, and uses no proxy.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// Hook is one receiver.
type Hook struct {
	URL     string
	Secret  []byte         // 24 to 64 bytes, see ReadSecret
	Events  []string       // types; none means all
	Private bool           // it may have a private address
	Roots   *x509.CertPool // whom its certificate is believed from; nil: those of this host
}

func (h Hook) wants(kind string) bool { return len(h.Events) == 0 || slices.Contains(h.Events, kind) }

// Event is one thing that happened.
type Event struct {
	ID    int64  // ascending
	Of    string // what it is about
	State string // that this is in now; an event with the state that was sent last is not sent
	Type  string // such as job.done
	Time  time.Time
	Data  any // becomes JSON
}

// body is what is sent.
func (e Event) body() ([]byte, error) {
	return json.Marshal(struct {
		Type string    `json:"type"`
		Time time.Time `json:"timestamp"`
		Data any       `json:"data"`
	}{e.Type, e.Time.UTC(), e.Data})
}

// secretMark begins a secret (Standard Webhooks, "Signature scheme").
const secretMark = "whsec_"

// ReadSecret reads the file of a secret: whsec_ and 24 to 64 bytes in base64.
func ReadSecret(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the secret of a webhook: %w", err)
	}
	return parseSecret(path, string(b))
}

func parseSecret(path, text string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(strings.TrimSpace(text), secretMark)
	secret, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(secret) < 24 || len(secret) > 64 {
		return nil, fmt.Errorf("reading the secret of a webhook: %s is not %s and 24 to 64 bytes in base64; "+
			"`echo %s$(openssl rand -base64 32)` prints one", path, secretMark, secretMark)
	}
	return secret, nil
}

// sign returns the signature of one attempt.
func sign(secret []byte, id string, seconds int64, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%d.%s", id, seconds, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
