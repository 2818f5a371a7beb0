package job

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Limits of the wire. The server refuses what is larger; the client does not send it.
const (
	MaxBody   = 4 << 20 // bytes of a request's JSON
	MaxReply  = 8 << 20 // bytes of a reply's JSON
	MaxEvents = 256     // events in one request
)

// Client makes the calls of one boot of one machine. Call Hello first: its token authorises the other calls.
//
// Each call makes one request and does not repeat it. The caller decides whether to try again; Retryable says whether
// that can help. After Hello has returned, a Client may be used from several goroutines.
type Client struct {
	base  string
	http  *http.Client
	token string
}

// PinnedTLS trusts the certificates in caPEM and no others. If the clock may be wrong, the caller sets Time.
func PinnedTLS(caPEM []byte) (*tls.Config, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(caPEM) {
		return nil, errors.New("reading the server's CA: it contains no certificate")
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}, nil
}

// NewClient makes a client for the server at base, for example "https://10.0.0.1:8443".
func NewClient(base string, conf *tls.Config) *Client {
	return &Client{
		base: strings.TrimSuffix(base, "/"),
		http: &http.Client{
			Timeout: 30 * time.Second,
			Transport: &http.Transport{
				TLSClientConfig:     conf,
				TLSHandshakeTimeout: 10 * time.Second,
				IdleConnTimeout:     time.Minute,
				ForceAttemptHTTP2:   true,
			},
			// The contract has no redirects, and a token must not follow one.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Hello introduces the machine and keeps the token of the Welcome for the other calls.
func (c *Client) Hello(ctx context.Context, h Hello) (Welcome, error) {
	var w Welcome
	if err := c.post(ctx, c.base+HelloPath, "", h.Bounded(), &w); err != nil {
		return Welcome{}, fmt.Errorf("saying hello: %w", err)
	}
	c.token = w.Token
	return w, nil
}

// Choose sends what the user chose on the screen and returns the job that the server made of it.
func (c *Client) Choose(ctx context.Context, choice Choice) (Spec, error) {
	var s Spec
	if err := c.post(ctx, c.base+ChoosePath, c.token, choice, &s); err != nil {
		return Spec{}, fmt.Errorf("asking for %s: %w", Printable(choice.Image), err)
	}
	return s, nil
}

// Events reports at most MaxEvents events, in the order of their numbers.
func (c *Client) Events(ctx context.Context, e Events) (Acknowledged, error) {
	var a Acknowledged
	if err := c.post(ctx, c.base+EventsPath, c.token, e, &a); err != nil {
		return Acknowledged{}, fmt.Errorf("reporting %d events: %w", len(e.Events), err)
	}
	return a, nil
}

// Stream asks how to fetch a stream. Package multicast defines ask and answer.
func (c *Client) Stream(ctx context.Context, ask, answer any) error {
	if err := c.post(ctx, c.base+StreamPath, c.token, ask, answer); err != nil {
		return fmt.Errorf("asking for a stream: %w", err)
	}
	return nil
}

// Relay reports the multicast session that this machine runs for its network, and gets the next command.
func (c *Client) Relay(ctx context.Context, report, command any) error {
	if err := c.post(ctx, c.base+RelayPath, c.token, report, command); err != nil {
		return fmt.Errorf("reporting a relay: %w", err)
	}
	return nil
}

// Home reports to home, with its one-time token, that the installed system is up. It needs no Hello.
func (c *Client) Home(ctx context.Context, home Home, r HomeReport) error {
	if err := c.post(ctx, home.URL, home.Token, r, nil); err != nil {
		return fmt.Errorf("phoning home: %w", err)
	}
	return nil
}

// Authorize adds the token of the boot to a request to the server, and to no other request.
func (c *Client) Authorize(r *http.Request) {
	if c.token != "" && strings.HasPrefix(r.URL.String(), c.base+"/") {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
}

func (c *Client) post(ctx context.Context, url, token string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if len(body) > MaxBody {
		return fmt.Errorf("request has %d bytes, more than %d", len(body), MaxBody)
	}
	return c.do(ctx, http.MethodPost, url, token, body, out)
}

// do makes one request; a nil out takes no reply.
func (c *Client) do(ctx context.Context, method, url, token string, body []byte, out any) error {
	return c.fetch(ctx, method, url, token, body, out, MaxReply)
}

// fetch is do for a reply of at most limit bytes.
func (c *Client) fetch(ctx context.Context, method, url, token string, body []byte, out any, limit int) error {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(res.Body, int64(limit)+1))
	if err != nil {
		return fmt.Errorf("reading the reply: %w", err)
	}
	if len(reply) > limit {
		return fmt.Errorf("reply has more than %d bytes", limit)
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return ReadProblem(res.StatusCode, reply)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(reply, out); err != nil {
		return fmt.Errorf("reading the reply: %w", err)
	}
	return nil
}
