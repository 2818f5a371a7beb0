package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/quota"
)

// What the bodies of requests that are being read and answered hold at most. A stranger is anyone from whose address no
// boot of a machine that an operator named has spoken within a day. A full budget answers 503, and agents ask again.
var bodyQuota = quota.Options{
	What:    "bodies of requests",
	Total:   quota.Amount{Slots: 1024, Bytes: 64 << 20},
	Each:    quota.Amount{Slots: 64, Bytes: 16 << 20},
	Reserve: quota.Amount{Slots: 256, Bytes: 16 << 20},
}

const (
	bodyTime  = 20 * time.Second // a body that has not come within it is given up
	firstRead = 16 << 10         // bytes that are set aside for a body before it comes
	perValue  = 448              // bytes that a value of a body may take once it is decoded; the largest is a job.Disk
	maxValues = 27 << 10         // values of a body; an inventory of the largest that is kept has a third of it
)

type holdKey struct{}

// hold takes a slot of the budget for r, and returns r with it in its context.
func (h *Handler) hold(r *http.Request, known bool) (*http.Request, *quota.Hold, error) {
	b, err := h.bodies.Take(quota.Key(r.RemoteAddr), known, 0)
	if err != nil {
		return r, nil, err
	}
	return r.WithContext(context.WithValue(r.Context(), holdKey{}, b)), b, nil
}

// decode reads one JSON value of at most job.MaxBody bytes, within bodyTime and the budget. Agents may be newer than
// the server, so that fields that it does not know are no mistake where strict is false.
func decode(w http.ResponseWriter, r *http.Request, strict bool, v any) error {
	hold, ok := r.Context().Value(holdKey{}).(*quota.Hold)
	if !ok {
		return errors.New("reading a body outside the budget")
	}
	b, err := body(w, r, hold, job.MaxBody)
	if err != nil {
		return err
	}
	values := int64(bytes.Count(b, []byte{','}) + bytes.Count(b, []byte{'['}) + bytes.Count(b, []byte{'{'}))
	if values > maxValues {
		return job.NewProblem(http.StatusRequestEntityTooLarge,
			fmt.Sprintf("the body has more than %d values", maxValues))
	}
	if err := hold.Grow(values * perValue); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if strict {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(v); err != nil {
		return job.NewProblem(http.StatusBadRequest, "reading the body: "+job.Sentence(err.Error()))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return job.NewProblem(http.StatusBadRequest, "reading the body: it has more than one value")
	}
	return nil
}

// body reads a body of JSON with at most limit bytes.
func body(w http.ResponseWriter, r *http.Request, hold *quota.Hold, limit int64) ([]byte, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, job.NewProblem(http.StatusUnsupportedMediaType, "the body must be application/json")
	}
	if r.ContentLength > limit {
		return nil, &http.MaxBytesError{Limit: limit}
	}
	return read(w, r, hold, limit)
}

// read takes each byte that it sets aside from hold before it does.
func read(w http.ResponseWriter, r *http.Request, hold *quota.Hold, limit int64) ([]byte, error) {
	in := http.MaxBytesReader(w, r.Body, limit)
	end := time.Now().Add(bodyTime)
	defer hangUp(w, end)()
	var b []byte
	for {
		if len(b) == cap(b) {
			size := min(max(firstRead, 2*cap(b)), int(limit)+1)
			if err := hold.Grow(int64(size)); err != nil {
				return nil, err
			}
			b = append(make([]byte, 0, size), b...)
		}
		n, err := in.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case errors.Is(err, io.EOF):
			return b, nil
		case !time.Now().Before(end):
			return nil, job.NewProblem(http.StatusRequestTimeout,
				fmt.Sprintf("the body did not arrive within %s", bodyTime))
		case err != nil:
			var large *http.MaxBytesError
			if errors.As(err, &large) {
				return nil, err
			}
			return nil, job.NewProblem(http.StatusBadRequest, "reading the body: "+job.Sentence(err.Error()))
		}
	}
}

// hangUp ends reads of the request's body at end, whatever deadline each of them sets for itself,
// until it is called off.
func hangUp(w http.ResponseWriter, end time.Time) (off func()) {
	c := http.NewResponseController(w)
	done := make(chan struct{})
	go func() {
		for wait := time.Until(end); ; wait = time.Second { // a read that just began may have set a later deadline
			select {
			case <-done:
				return
			case <-time.After(wait):
				c.SetReadDeadline(time.Unix(1, 0)) // what cannot set one, a test's recorder, does not block either
			}
		}
	}()
	return func() { close(done) }
}
