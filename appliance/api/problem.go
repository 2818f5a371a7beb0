package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/order"
	"griddle/appliance/quota"
)

// asked is what of a request is said in the log.
type asked struct{ method, path, remote string }

func askedOf(r *http.Request) asked { return asked{r.Method, r.URL.Path, r.RemoteAddr} }

// refuse answers with the problem that err is.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := h.problem(r.Context(), askedOf(r), w.Header(), err)
	write(w, p.Status, job.ProblemType, p)
}

// problem is the problem that err is; to gets headers that belong to it. What is not the caller's fault is logged and
// not told.
func (h *Handler) problem(ctx context.Context, a asked, to http.Header, err error) *job.Problem {
	var p *job.Problem
	var large *http.MaxBytesError
	if p = screenProblem(err); p != nil {
		return p
	}
	switch {
	case errors.As(err, &p):
	case errors.As(err, &large):
		p = job.NewProblem(http.StatusRequestEntityTooLarge,
			fmt.Sprintf("the body has more than %d bytes", large.Limit))
	case accountProblem(err) != nil:
		p = accountProblem(err)
		if p.Status >= http.StatusInternalServerError {
			h.o.Log.Error("an account's request failed", "method", a.method, "path", a.path, "error", err)
		}
	case errors.Is(err, fleet.ErrUnknown):
		p = job.NewProblem(http.StatusNotFound, err.Error())
	case errors.Is(err, ErrNoSession), errors.Is(err, fleet.ErrNoOrder),
		errors.Is(err, fleet.ErrNoGroup):
		p = job.NewProblem(http.StatusNotFound, err.Error())
	case errors.Is(err, ErrNoImage):
		p = job.NewProblem(http.StatusUnprocessableEntity, err.Error())
	case errors.Is(err, fleet.ErrAmbiguous), errors.Is(err, fleet.ErrBusy), errors.Is(err, fleet.ErrOver),
		errors.Is(err, fleet.ErrRetired),
		errors.Is(err, order.ErrState):
		p = job.NewProblem(http.StatusConflict, err.Error())
	case errors.Is(err, fleet.ErrClosed), errors.Is(err, fleet.ErrUnapproved), errors.Is(err, fleet.ErrWeakKey):
		h.o.Log.Info("a boot was refused", "path", a.path, "remote", a.remote, "why", err)
		p = job.NewProblem(http.StatusForbidden, err.Error())
	case errors.Is(err, fleet.ErrGuesses):
		p = job.NewProblem(http.StatusTooManyRequests, err.Error())
	case errors.Is(err, fleet.ErrInvalid), errors.Is(err, fleet.ErrCode), errors.Is(err, order.ErrNotOne):
		p = job.NewProblem(http.StatusBadRequest, err.Error())
	case errors.Is(err, fleet.ErrOften):
		p = job.NewProblem(http.StatusTooManyRequests, err.Error())
		to.Set("Retry-After", "5")
	case errors.Is(err, fleet.ErrToken), errors.Is(err, fleet.ErrKey):
		p = job.NewProblem(http.StatusUnauthorized, err.Error())
	case errors.Is(err, fleet.ErrRecords):
		p = job.NewProblem(http.StatusRequestEntityTooLarge, err.Error())
	case errors.Is(err, quota.ErrFull), errors.Is(err, fleet.ErrFull), errors.Is(err, fleet.ErrNoRoom):
		p = job.NewProblem(http.StatusServiceUnavailable, err.Error()+"; try again later")
		to.Set("Retry-After", "5")
	case errors.Is(err, fleet.ErrDiskFull):
		h.o.Log.Error("the state disk is full", "method", a.method, "path", a.path, "error", err)
		p = job.NewProblem(http.StatusInsufficientStorage,
			fleet.ErrDiskFull.Error()+"; free space on the filesystem of the server's state directory")
	case ctx.Err() != nil: // the caller is gone, or the server stops
		p = job.NewProblem(http.StatusServiceUnavailable, "the request was given up before it was done; try again")
	default:
		h.o.Log.Error("answering a request failed", "method", a.method, "path", a.path, "remote", a.remote,
			"error", err)
		p = job.NewProblem(http.StatusInternalServerError, "the server could not do it; its log says why")
	}
	if p.Status == http.StatusUnauthorized {
		h.o.Log.Warn("request without a valid token or key", "method", a.method, "path", a.path, "remote", a.remote)
		to.Set("WWW-Authenticate", `Bearer realm="griddle"`)
	}
	told := *p
	told.Detail = strings.ReplaceAll(told.Detail, "\n", "; ")
	return &told
}

// refused is a job.Problem as huma sends one.
type refused job.Problem

// Error is that of the job.Problem.
func (p *refused) Error() string { return (*job.Problem)(p).Error() }

// GetStatus implements huma.StatusError.
func (p *refused) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (*refused) ContentType(string) string { return job.ProblemType }

// refusal is the problem that the error of an operator's call is, with its headers.
func (h *Handler) refusal(ctx context.Context, err error) error {
	to := http.Header{}
	p := (*refused)(h.problem(ctx, callerOf(ctx).asked, to, err))
	if len(to) == 0 {
		return p
	}
	return huma.ErrorWithHeaders(p, to)
}

// humaError makes a problem of what huma finds wrong with the parameters of a request, and of what Resolve found wrong
// with its body. It does not repeat the values: one may be a secret.
func humaError(status int, what string, errs ...error) huma.StatusError {
	for _, err := range errs {
		var p *refused
		if errors.As(err, &p) {
			return p
		}
		var d *huma.ErrorDetail
		if errors.As(err, &d) {
			_, name, _ := strings.Cut(d.Location, ".")
			what += "; " + name + ": " + d.Message
		}
	}
	if status == http.StatusUnprocessableEntity { // here it says that there is no such image
		status = http.StatusBadRequest
	}
	return (*refused)(job.NewProblem(status, job.Sentence(what)))
}

// give answers an agent.
func give(w http.ResponseWriter, status int, v any) error {
	write(w, status, "application/json", v)
	return nil
}

func write(w http.ResponseWriter, status int, kind string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, kind, body = http.StatusInternalServerError, "text/plain", []byte("writing the reply as JSON failed")
	}
	send(w, status, kind, append(body, '\n'))
}

// send answers with a body of this kind.
func send(w http.ResponseWriter, status int, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(body) // who is gone does not read it
}
