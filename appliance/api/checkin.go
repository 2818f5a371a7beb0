package api

import (
	"context"
	"fmt"
	"net/http"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/quota"
)

// Notices is what the site says to installed machines, signed: the head of its catalog and its notice. Either is nil
// where there is none.
type Notices interface {
	Signed(ctx context.Context) (head, notice []byte, err error)
}

// checkIn records that the service of a machine is up. The key of the connection says which machine; the body cannot.
func (h *Handler) checkIn(w http.ResponseWriter, r *http.Request, by fleet.Proof) error {
	if r.ContentLength > job.MaxCheckIn {
		return &http.MaxBytesError{Limit: job.MaxCheckIn}
	}
	r.Body = http.MaxBytesReader(w, r.Body, job.MaxCheckIn)
	var in job.CheckIn
	if err := decode(w, r, false, &in); err != nil {
		return err
	}
	got, err := h.o.Fleet.CheckIn(r.Context(), quota.Key(r.RemoteAddr), by.Key, in)
	if err != nil {
		return err
	}
	m := got.Machine
	out := job.CheckedIn{Time: h.o.Now().UTC(), Machine: m.Name, Next: m.Service.Every, Cancelled: got.Cancelled,
		ActionOver: got.ActionOver}
	if got.Job != nil {
		s, err := h.spec(r.Context(), *got.Job, "")
		if err != nil {
			return err
		}
		if lacks := lacking(s, append(in.Features, job.FeatureSettings)); lacks == "" {
			out.Job = &s
		} else {
			h.o.Log.Warn("the service of a machine is too old for its job", "machine", m.Name, "job", s.ID,
				"for", lacks)
		}
	}
	if h.o.Signed != nil {
		if out.Head, out.Notice, err = h.o.Signed.Signed(r.Context()); err != nil {
			return fmt.Errorf("signing what installed machines should know: %w", err)
		}
	}
	h.o.Log.Debug("service checks in", "machine", m.Name, "agent", m.Service.Agent, "root", m.Service.Root,
		"trouble", m.Service.Trouble)
	in = in.Bounded()
	for what, r := range map[string]*job.JobReport{"an update ended": in.Job, "an action ended": in.Action} {
		if r != nil && (r.State == job.Done || r.State == job.Failed) {
			h.o.Log.Info(what, "machine", m.Name, "job", r.ID, "state", string(r.State), "message", r.Message)
		}
	}
	return give(w, http.StatusOK, out)
}
