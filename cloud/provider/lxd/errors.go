package lxd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"

	"griddle/cloud/provider"
)

// changed says that something was changed since it was read: it must be read again.
type changed struct{}

// Error implements error.
func (changed) Error() string { return "it was changed meanwhile" }

// Unwrap has it be temporary, should it come back too often.
func (changed) Unwrap() error { return provider.ErrTemporary }

// unreached is the error of an exchange that came to no answer.
func unreached(ctx context.Context, err error) error {
	var cert *tls.CertificateVerificationError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	case errors.As(err, &cert), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", provider.ErrCredentials, err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("LXD does not run here, or its socket is elsewhere (socket: in the stack file's provider, "+
			"or LXD_SOCKET): %w", err)
	}
	if provider.Unreachable(err) {
		return fmt.Errorf("%w: %w: %w", provider.ErrTemporary, provider.ErrUnreachable, err)
	}
	var alert tls.AlertError
	if errors.As(err, &alert) {
		return fmt.Errorf("%w: %w", provider.ErrCredentials, err)
	}
	return fmt.Errorf("%w: %w", provider.ErrTemporary, err)
}

// refusal is the error of an answer. LXD 5.0 has few codes, and gives 400 and 500 for much; what its
// text says goes first.
func refusal(res *http.Response, text string) error {
	if res.StatusCode == http.StatusPreconditionFailed {
		return changed{}
	}
	err := meaning(res.StatusCode, text)
	if s, e := strconv.Atoi(res.Header.Get("Retry-After")); e == nil && s > 0 && errors.Is(err, provider.ErrTemporary) {
		return &provider.Retry{After: min(time.Duration(s)*time.Second, 10*time.Minute), Err: err}
	}
	return err
}

// meaning is what a status code and a text, of an answer or of an operation that failed, mean to the caller.
func meaning(code int, text string) error {
	if len(text) > 400 {
		text = text[:400] + "…"
	}
	kind := byText(strings.ToLower(text))
	if kind == nil {
		switch {
		case code == http.StatusUnauthorized || code == http.StatusForbidden:
			kind = provider.ErrCredentials
		case code == http.StatusNotFound:
			kind = provider.ErrNotFound
		case code == http.StatusConflict, code == http.StatusTooManyRequests,
			code == http.StatusRequestTimeout, code >= 500:
			kind = provider.ErrTemporary
		default:
			kind = provider.ErrInvalid
		}
	}
	return fmt.Errorf("%w: %d: %s", kind, code, text)
}

// nothingWritten is the answer, with 500, for the console of a container that has written nothing there, or nothing
// since it was last asked (LXD 5.0.2, github.com/lxc/lxc/issues/4448).
const nothingWritten = "open : no such file or directory"

// byText is the meaning of LXD's words, and nil where the code says it all. They are those of lxd/db, lxd/storage,
// lxd/network and lxd/project of 5.0.
func byText(text string) error {
	for _, m := range []struct {
		words []string
		err   error
	}{
		{[]string{"no space left", "quota exceeded", "reached maximum", "reached limit", "reached the limit"},
			provider.ErrQuota},
		{[]string{"already exists", "overlaps with another", "same fingerprint"}, provider.ErrTaken},
		{[]string{"in use", "is busy", "instance is running", "already running", "database is locked", "dqlite",
			"leader"}, provider.ErrTemporary},
		{[]string{"image not provided", "not found", "no such object", nothingWritten}, provider.ErrNotFound},
		{[]string{"not authorized", "certificate is restricted"}, provider.ErrCredentials},
	} {
		for _, w := range m.words {
			if strings.Contains(text, w) {
				return m.err
			}
		}
	}
	return nil
}
