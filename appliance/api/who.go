package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"griddle/appliance/account"
	"griddle/appliance/account/oidc"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// Who says whose token r has. Its error is a *job.Problem with status 401 for a token that is not valid, and for none.
func (h *Handler) Who(r *http.Request) (account.Who, error) {
	token := bearer(r)
	sum := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(sum[:], h.admin[:]) == 1 {
		return account.Who{Name: account.AdminToken, Role: account.Admin, Token: account.AdminToken}, nil
	}
	w, err := h.o.Accounts.Find(r.Context(), token)
	switch {
	case err == nil:
		return w, nil
	case !errors.Is(err, account.ErrToken):
		return account.Who{}, err
	case token == "":
		return account.Who{}, job.NewProblem(http.StatusUnauthorized, "this needs a token: run griddle login, or give "+
			"--token-file FILE")
	case strings.HasPrefix(token, account.Mark):
		return account.Who{}, job.NewProblem(http.StatusUnauthorized, err.Error()+"; run griddle login again")
	}
	return account.Who{}, job.NewProblem(http.StatusUnauthorized, "the token is wrong: run griddle login, or give "+
		"--token-file FILE, for example a copy of admin.token in the server's state directory")
}

// enter lets an operator who may call the route in, and notes who it is in the context.
func (h *Handler) enter(r *http.Request, route Route) (*http.Request, error) {
	who, err := h.Who(r)
	if err != nil {
		return r, err
	}
	c := caller{Who: who, asked: askedOf(r), h: h, on: new(string), again: func() error {
		who, err := h.Who(r)
		if err == nil && !who.Role.May(route.Role) {
			err = errors.New("the role is another one now")
		}
		return err
	}}
	r = r.WithContext(fleet.By(context.WithValue(r.Context(), callerKey{}, c), c.Name))
	if who.Role.May(route.Role) {
		return r, nil
	}
	e := entry(r, route)
	e.Outcome, e.Status = account.Refused, http.StatusForbidden
	if err := h.o.Accounts.Note(r.Context(), e); err != nil {
		h.o.Log.Error("a refused call is not in the audit log", "who", who.Name, "call", route.Pattern, "error", err)
	}
	return r, job.NewProblem(http.StatusForbidden, fmt.Sprintf("this needs the role %s, and %s has the role %s",
		route.Role, job.Printable(who.Name), who.Role))
}

// entry is what the audit log says of a call, without its outcome.
func entry(r *http.Request, route Route) account.Entry {
	c := callerOf(r.Context())
	return account.Entry{Who: c.Name, Role: c.Role, Token: c.Token, From: Host(r.RemoteAddr), Call: route.Pattern,
		On: subject(r, route.Pattern)}
}

// Host is the address in what a request has as its RemoteAddr, without the port.
func Host(remote string) string {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}

// subject is what the places of a route's path are in r.
func subject(r *http.Request, pattern string) string {
	var out []string
	for part := range strings.SplitSeq(pattern, "/") {
		name, ok := strings.CutPrefix(part, "{")
		if name, ends := strings.CutSuffix(name, "}"); ok && ends {
			out = append(out, job.Printable(r.PathValue(name)))
		}
	}
	return strings.Join(out, " ")
}

// begin notes in the audit log that a call begins. The call must not be done after an error. end notes how it ended.
func (h *Handler) begin(w http.ResponseWriter, r *http.Request, route Route) (http.ResponseWriter, func(), error) {
	call, err := h.o.Accounts.Begin(r.Context(), entry(r, route))
	if err != nil {
		return w, nil, err
	}
	watched := &watched{ResponseWriter: w}
	return watched, func() {
		on := ""
		if c := callerOf(r.Context()); *c.on != "" {
			on = job.Sentence(strings.TrimSpace(subject(r, route.Pattern) + " " + *c.on))
		}
		if err := call.End(r.Context(), account.OutcomeOf(watched.status), watched.status, on); err != nil {
			h.o.Log.Error("how a call ended is not in the audit log", "call", route.Pattern, "status", watched.status,
				"error", err)
		}
	}, nil
}

// watched notes the status of an answer; 0 where there was none.
type watched struct {
	http.ResponseWriter
	status int
}

func (w *watched) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// accountProblem is the problem that an error of package account is, nil for another error.
func accountProblem(err error) *job.Problem {
	for is, status := range map[error]int{
		account.ErrInvalid: http.StatusBadRequest, account.ErrUnknown: http.StatusNotFound,
		account.ErrExists: http.StatusConflict, account.ErrMore: http.StatusForbidden,
		account.ErrLogin: http.StatusUnauthorized, account.ErrGuesses: http.StatusTooManyRequests,
		account.ErrBusy: http.StatusServiceUnavailable, oidc.ErrToken: http.StatusUnauthorized,
		oidc.ErrNoRole: http.StatusForbidden, oidc.ErrUnreachable: http.StatusBadGateway,
	} {
		if errors.Is(err, is) {
			return job.NewProblem(status, err.Error())
		}
	}
	if errors.Is(err, account.ErrAudit) {
		return job.NewProblem(http.StatusServiceUnavailable, account.ErrAudit.Error()+"; the server's log says why")
	}
	return nil
}
