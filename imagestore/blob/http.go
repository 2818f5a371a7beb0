package blob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Path is where Handler serves blobs, below the base URL of a server.
const Path = "/v1/blobs"

// HTTP is a Store on a server, behind its Handler. Reading needs only Base. Writing and List need a Token and a Base
// that begins with https, so that a token never travels in the clear.
type HTTP struct {
	Base   string       // URL of the server without a path: "http://192.0.2.1:8080"
	Client *http.Client // nil means http.DefaultClient
	Token  string       // bearer token

	// Private says that the connections that Client makes are private, and that their owner may write: no token is
	// needed then.
	Private bool
}

func (h *HTTP) url(d Digest) string {
	u := strings.TrimSuffix(h.Base, "/") + Path
	if d != "" {
		u += "/" + string(d)
	}
	return u
}

// do sends a request and turns any status that is not in the 200s into an error.
func (h *HTTP) do(ctx context.Context, method string, d Digest, body io.Reader,
	header http.Header) (*http.Response, error) {
	guarded := method != http.MethodGet && method != http.MethodHead || d == ""
	return h.send(ctx, method, h.url(d), guarded, body, header)
}

// send is do for any URL, at; what is guarded takes the token along.
func (h *HTTP) send(ctx context.Context, method, at string, guarded bool, body io.Reader,
	header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, at, body)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if guarded && !h.Private {
		if h.Token == "" {
			return nil, fmt.Errorf("%w: no token was given", ErrDenied)
		}
		if req.URL.Scheme != "https" {
			return nil, fmt.Errorf("%w: a token is only sent over https, and this is %s", ErrDenied, req.URL.Scheme)
		}
	}
	if h.Token != "" && req.URL.Scheme == "https" { // for reading too: images may be private
		req.Header.Set("Authorization", "Bearer "+h.Token)
	}
	client := h.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) && errors.Is(ue.Err, ErrMismatch) {
			err = ue.Err
		}
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	why, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
	msg := strings.TrimSpace(string(why))
	if msg == "" {
		msg = resp.Status
	}
	switch resp.StatusCode {
	case http.StatusNotFound:
		return nil, ErrNotExist
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("%w: %s", ErrDenied, msg)
	case http.StatusConflict:
		return nil, fmt.Errorf("%w: %s", ErrBusy, msg)
	case http.StatusRequestedRangeNotSatisfiable:
		return nil, ErrRange
	case http.StatusUnprocessableEntity:
		return nil, fmt.Errorf("%w: %s", ErrMismatch, msg)
	}
	return nil, fmt.Errorf("%w: it says %s: %s", ErrServer, resp.Status, msg)
}

// Open implements Reader, with a Range request unless the whole blob is asked for.
func (h *HTTP) Open(ctx context.Context, d Digest, off, n int64) (io.ReadCloser, error) {
	if _, err := ParseDigest(string(d)); err != nil {
		return nil, err
	}
	if off < 0 {
		return nil, fmt.Errorf("reading blob %s: %w: %d", d, ErrRange, off)
	}
	if n == 0 {
		return h.openNothing(ctx, d, off)
	}
	header := http.Header{"Accept-Encoding": {"identity"}}
	if off > 0 || n > 0 {
		r := "bytes=" + strconv.FormatInt(off, 10) + "-"
		if n > 0 {
			r += strconv.FormatInt(off+n-1, 10)
		}
		header.Set("Range", r)
	}
	resp, err := h.do(ctx, http.MethodGet, d, nil, header)
	if errors.Is(err, ErrRange) {
		// HTTP has no range for the empty rest at the very end, which Open has.
		return h.openNothing(ctx, d, off)
	}
	if err != nil {
		return nil, fmt.Errorf("reading blob %s: %w", d, err)
	}
	if header.Get("Range") != "" && resp.StatusCode != http.StatusPartialContent {
		resp.Body.Close()
		return nil, fmt.Errorf("reading blob %s: the server does not support Range requests", d)
	}
	return resp.Body, nil
}

func (h *HTTP) openNothing(ctx context.Context, d Digest, off int64) (io.ReadCloser, error) {
	size, err := h.Stat(ctx, d)
	if err == nil {
		_, err = checkRange(d, off, 0, size)
	}
	if err != nil {
		return nil, err
	}
	return io.NopCloser(strings.NewReader("")), nil
}

// Stat implements Reader.
func (h *HTTP) Stat(ctx context.Context, d Digest) (int64, error) {
	if _, err := ParseDigest(string(d)); err != nil {
		return 0, err
	}
	resp, err := h.do(ctx, http.MethodHead, d, nil, nil)
	if err != nil {
		return 0, fmt.Errorf("looking up blob %s: %w", d, err)
	}
	resp.Body.Close()
	if resp.ContentLength < 0 {
		return 0, fmt.Errorf("looking up blob %s: the server does not report its length", d)
	}
	return resp.ContentLength, nil
}

// Put implements Store. The server has the blob durably when this returns. Without want the server computes the
// digest.
func (h *HTTP) Put(ctx context.Context, r io.Reader, want Digest) (Digest, int64, error) {
	method := http.MethodPost
	if want != "" {
		if _, err := ParseDigest(string(want)); err != nil {
			return "", 0, err
		}
		method = http.MethodPut
	}
	// The plain reader hides its length and its Close: net/http would close it and, where it is empty, guess.
	resp, err := h.do(ctx, method, want, struct{ io.Reader }{r},
		http.Header{"Content-Type": {"application/octet-stream"}})
	if err != nil {
		return "", 0, fmt.Errorf("putting blob: %w", err)
	}
	defer resp.Body.Close()
	var i Info
	if err := json.NewDecoder(io.LimitReader(resp.Body, 4096)).Decode(&i); err != nil {
		return "", 0, fmt.Errorf("putting blob: reading the answer: %w", err)
	}
	if i.Digest == "" || want != "" && i.Digest != want {
		return "", 0, fmt.Errorf("putting blob %s: %w: the server got %q", want, ErrMismatch, i.Digest)
	}
	return i.Digest, i.Size, nil
}

// List implements Store.
func (h *HTTP) List(ctx context.Context, f func(Info) error) error {
	resp, err := h.do(ctx, http.MethodGet, "", nil, nil)
	if err != nil {
		return fmt.Errorf("listing blobs: %w", err)
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	for {
		var i Info
		if err := dec.Decode(&i); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("listing blobs: %w", err)
		}
		if err := f(i); err != nil {
			return err
		}
	}
}

// Delete implements Store.
func (h *HTTP) Delete(ctx context.Context, d Digest) error {
	if _, err := ParseDigest(string(d)); err != nil {
		return err
	}
	resp, err := h.do(ctx, http.MethodDelete, d, nil, nil)
	if err != nil {
		return fmt.Errorf("deleting blob %s: %w", d, err)
	}
	resp.Body.Close()
	return nil
}
