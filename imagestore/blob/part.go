package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ErrBusy is wrapped if another client sends the rest of a blob, or sent some of it meanwhile: ask for its Part again.
var ErrBusy = errors.New("another client sends it")

// maxPart is the longest blob that may come in parts, in bytes.
const maxPart = 1 << 40

const (
	partWait = 2 * time.Second // for who holds a part; then the answer is ErrBusy
	partIdle = time.Minute     // without a byte of the body; then whoever else wants to send may
)

// Part is what a server has of a blob that did not come completely.
type Part struct {
	Size   int64  `json:"size"`   // bytes from the beginning; 0 if there are none
	Digest Digest `json:"digest"` // of these bytes
}

// keeper is a store that keeps parts for later.
type keeper interface {
	Partial(ctx context.Context, d Digest) (*Partial, error)
}

// hold locks what there is of the blob that r is about; where that is not to be had it answers, and returns nil.
func (h handler) hold(w http.ResponseWriter, r *http.Request) *Partial {
	d, err := ParseDigest(r.PathValue("digest"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), partWait)
	defer cancel()
	p, err := h.s.(keeper).Partial(ctx, d)
	if errors.Is(err, context.DeadlineExceeded) {
		http.Error(w, err.Error(), http.StatusConflict)
		return nil
	}
	if err != nil {
		fail(w, err)
		return nil
	}
	return p
}

func (h handler) part(w http.ResponseWriter, r *http.Request) {
	p := h.hold(w, r)
	if p == nil {
		return
	}
	sum := sha256.New()
	n, err := io.Copy(sum, contextReader{r.Context(), p})
	if err == nil && n == 0 {
		err = p.Discard() // asking makes none
	} else {
		err = errors.Join(err, p.Close())
	}
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(Part{Size: n, Digest: FromSum(sum.Sum(nil))})
}

func (h handler) dropPart(w http.ResponseWriter, r *http.Request) {
	p := h.hold(w, r)
	if p == nil {
		return
	}
	if err := p.Discard(); err != nil {
		fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// putRest appends the body to what there is, and makes it the blob when it is whole. What came of a body that breaks
// off stays.
func (h handler) putRest(w http.ResponseWriter, r *http.Request) {
	at, total, err := parseContentRange(r.Header.Get("Content-Range"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p := h.hold(w, r)
	if p == nil {
		return
	}
	defer p.Close()
	if n, err := h.s.Stat(r.Context(), p.d); err == nil {
		h.already(w, p, n)
		return
	}
	st, err := p.Stat()
	if err != nil {
		fail(w, err)
		return
	}
	if have := st.Size(); at < 0 && have != total || at >= 0 && have != at {
		http.Error(w, fmt.Sprintf("there are %d bytes of it", have), http.StatusConflict)
		return
	}
	sum := sha256.New()
	have, err := io.Copy(sum, contextReader{r.Context(), p})
	if err == nil {
		err = receiveRest(io.MultiWriter(p, sum), w, r, total-have)
	}
	if err != nil {
		fail(w, fmt.Errorf("receiving the rest of blob %s from %d on: %w", p.d, have, err))
		return
	}
	if err := p.Commit(FromSum(sum.Sum(nil))); err != nil {
		fail(w, err)
		return
	}
	created(w, p.d, total)
}

func receiveRest(to io.Writer, w http.ResponseWriter, r *http.Request, want int64) error {
	c := http.NewResponseController(w)
	n, err := io.CopyBuffer(to, io.LimitReader(idleReader{c, r.Body}, want), make([]byte, 256<<10))
	if err == nil && n < want {
		err = fmt.Errorf("after %d of %d bytes: %w", n, want, io.ErrUnexpectedEOF)
	}
	c.SetReadDeadline(time.Time{}) // making it durable takes its time
	return err
}

// already answers for a blob that came whole from somebody else.
func (h handler) already(w http.ResponseWriter, p *Partial, size int64) {
	err := p.Discard()
	if s, ok := h.s.(interface{ Settle(Digest) error }); ok && err == nil {
		err = s.Settle(p.d)
	}
	if err != nil {
		fail(w, err)
		return
	}
	created(w, p.d, size)
}

// parseContentRange reads "bytes A-B/T", B being T-1, or "bytes */T" for the nothing that follows T bytes: at is then
// -1 (RFC 9110, section 14.4).
func parseContentRange(s string) (at, total int64, err error) {
	span, length, found := strings.Cut(strings.TrimPrefix(s, "bytes "), "/")
	total, err = strconv.ParseInt(length, 10, 64)
	if !found || err != nil || !strings.HasPrefix(s, "bytes ") || total < 0 || total > maxPart {
		return 0, 0, fmt.Errorf("parsing Content-Range %.80q: want bytes A-B/T, and at most %d bytes",
			s, int64(maxPart))
	}
	if span == "*" {
		return -1, total, nil
	}
	first, last, _ := strings.Cut(span, "-")
	at, err = strconv.ParseInt(first, 10, 64)
	if err != nil || at < 0 || at >= total || last != strconv.FormatInt(total-1, 10) {
		return 0, 0, fmt.Errorf("parsing Content-Range %.80q: want all that follows A, up to T-1", s)
	}
	return at, total, nil
}

// contentRange is what parseContentRange reads.
func contentRange(at, total int64) string {
	if at == total {
		return fmt.Sprintf("bytes */%d", total)
	}
	return fmt.Sprintf("bytes %d-%d/%d", at, total-1, total)
}

// idleReader reads a body for as long as something comes: a client that is gone without a word would otherwise hold
// the part.
type idleReader struct {
	c *http.ResponseController
	r io.Reader
}

func (i idleReader) Read(b []byte) (int, error) {
	i.c.SetReadDeadline(time.Now().Add(partIdle)) // where there is none to set, the connection itself tells
	return i.r.Read(b)
}

// Part asks what the server has of d. ErrNotExist says that it keeps no parts, ErrBusy that another client is sending.
func (h *HTTP) Part(ctx context.Context, d Digest) (Part, error) {
	var out Part
	b, err := h.partRequest(ctx, http.MethodGet, d)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err == nil && (out.Size < 0 || out.Size > maxPart) {
		err = fmt.Errorf("the server says it has %d bytes", out.Size)
	}
	if err != nil {
		return Part{}, fmt.Errorf("asking for the part of blob %s: %w", d, err)
	}
	return out, nil
}

// DropPart has the server delete what it has of d.
func (h *HTTP) DropPart(ctx context.Context, d Digest) error {
	if _, err := h.partRequest(ctx, http.MethodDelete, d); err != nil {
		return fmt.Errorf("removing the part of blob %s: %w", d, err)
	}
	return nil
}

// PutRest sends the bytes of d after the first at, which the server has; d has total bytes. The server has the blob
// durably when this returns. What arrived before an error is kept. ErrBusy if the server does not have at bytes;
// after ErrMismatch it has none.
func (h *HTTP) PutRest(ctx context.Context, d Digest, r io.Reader, at, total int64) error {
	if at < 0 || at > total {
		return fmt.Errorf("putting the rest of blob %s: %w: %d of %d bytes", d, ErrRange, at, total)
	}
	if at == total {
		r = bytes.NewReader(nil)
	}
	header := http.Header{
		"Content-Type": {"application/octet-stream"}, "Content-Range": {contentRange(at, total)},
		"Expect": {"100-continue"}, // a refusal gets lost where the connection breaks under a body that nobody reads
	}
	resp, err := h.do(ctx, http.MethodPut, d, struct{ io.Reader }{r}, header)
	if err != nil {
		return fmt.Errorf("putting the rest of blob %s: %w", d, err)
	}
	defer resp.Body.Close()
	var i Info
	if err := json.NewDecoder(io.LimitReader(resp.Body, 4096)).Decode(&i); err != nil {
		return fmt.Errorf("putting the rest of blob %s: reading the answer: %w", d, err)
	}
	if i.Digest != d || i.Size != total {
		return fmt.Errorf("putting the rest of blob %s: %w: the server got %d bytes of %q", d,
			ErrMismatch, i.Size, i.Digest)
	}
	return nil
}

func (h *HTTP) partRequest(ctx context.Context, method string, d Digest) ([]byte, error) {
	if _, err := ParseDigest(string(d)); err != nil {
		return nil, err
	}
	resp, err := h.send(ctx, method, h.url(d)+"/partial", true, nil, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, 4096))
}
