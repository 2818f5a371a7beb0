package lxd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Limits of one exchange.
const (
	maxAnswer = 256 << 20 // a thousand servers with their user-data, which LXD repeats
	oneCall   = 2 * time.Minute
)

// client speaks to one daemon.
type client struct {
	http    *http.Client
	base    string
	project string
	wait    time.Duration
}

// answer is what every call gives.
type answer struct {
	Type      string          `json:"type"` // sync, async or error
	Operation string          `json:"operation"`
	Code      int             `json:"error_code"`
	Error     string          `json:"error"`
	Metadata  json.RawMessage `json:"metadata"`
	etag      string
}

// endpoint joins the parts of an API path, each escaped.
func endpoint(parts ...string) string {
	p := "/1.0"
	for _, s := range parts {
		p += "/" + url.PathEscape(s)
	}
	return p
}

// address is the URL of an endpoint in LXD's project.
func (c *client) address(p string, query ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		q.Set(query[i], query[i+1])
	}
	if c.project != "" {
		q.Set("project", c.project)
	}
	if len(q) == 0 {
		return c.base + p
	}
	return c.base + p + "?" + q.Encode()
}

// call asks, and reads the answer's metadata into out, where that is not nil. A tag makes it fail where what is there
// has changed since.
func (c *client) call(ctx context.Context, method, p string, in, out any, tag string,
	query ...string) (*answer, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("asking LXD: %w", err)
		}
		body = bytes.NewReader(b)
	}
	inner, stop := context.WithTimeout(ctx, oneCall)
	defer stop()
	req, err := http.NewRequestWithContext(inner, method, c.address(p, query...), body)
	if err != nil {
		return nil, fmt.Errorf("asking LXD: %w", err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if tag != "" {
		req.Header.Set("If-Match", tag)
	}
	return c.send(ctx, req, out)
}

// send carries out a request. ctx is the caller's, whose end is no fault of LXD's.
func (c *client) send(ctx context.Context, req *http.Request, out any) (*answer, error) {
	what := fmt.Sprintf("asking LXD to %s %s", req.Method, req.URL.Path)
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, unreached(ctx, err))
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, unreached(ctx, err))
	}
	if len(b) > maxAnswer {
		return nil, fmt.Errorf("%s: an answer of more than %d bytes", what, maxAnswer)
	}
	a := &answer{etag: res.Header.Get("ETag")}
	if err := json.Unmarshal(b, a); err != nil {
		return nil, fmt.Errorf("%s: %w", what, refusal(res, fmt.Sprintf("no answer of LXD's API: %v", err)))
	}
	if res.StatusCode >= 400 || a.Type == "error" {
		return nil, fmt.Errorf("%s: %w", what, refusal(res, a.Error))
	}
	if out != nil {
		if err := json.Unmarshal(a.Metadata, out); err != nil {
			return nil, fmt.Errorf("%s: reading the answer: %w", what, err)
		}
	}
	return a, nil
}

// get reads one thing and its tag.
func (c *client) get(ctx context.Context, p string, out any, query ...string) (tag string, err error) {
	a, err := c.call(ctx, http.MethodGet, p, nil, out, "", query...)
	if err != nil {
		return "", err
	}
	return a.etag, nil
}

// raw reads a file of the API, at most most bytes of its end.
func (c *client) raw(ctx context.Context, p string, most int) ([]byte, error) {
	inner, stop := context.WithTimeout(ctx, oneCall)
	defer stop()
	what := "asking LXD to GET " + p
	req, err := http.NewRequestWithContext(inner, http.MethodGet, c.address(p), nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, unreached(ctx, err))
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		var a answer
		if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&a); err != nil {
			a.Error = "no answer of LXD's API"
		}
		return nil, fmt.Errorf("%s: %w", what, refusal(res, a.Error))
	}
	var kept []byte
	chunk := make([]byte, 32<<10)
	for {
		n, err := res.Body.Read(chunk)
		kept = append(kept, chunk[:n]...)
		kept = kept[max(0, len(kept)-most):]
		if errors.Is(err, io.EOF) {
			return bytes.Clone(kept), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, unreached(ctx, err))
		}
	}
}
