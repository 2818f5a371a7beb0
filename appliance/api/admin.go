package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// Machines is the reply to the list, by name.
type Machines struct {
	Machines []Machine `json:"machines"`
}

// Machine is a machine as operators see it.
type Machine struct {
	Name      string            `json:"name"`
	Status    string            `json:"status"` // see fleet.View.Status
	ID        string            `json:"id"`
	Identity  job.Identity      `json:"identity"`
	Inventory job.Inventory     `json:"inventory"`
	FirstSeen time.Time         `json:"firstSeen"`
	LastSeen  time.Time         `json:"lastSeen"` // the zero time: not yet
	Deployed  *fleet.Deployment `json:"deployed,omitempty"`
	Job       *fleet.Job        `json:"job,omitempty"`  // the newest
	Jobs      []fleet.Job       `json:"jobs,omitempty"` // all, the newest first; not in the list
}

// Install asks for an install. The fields are what an operator types.
type Install struct {
	Image    string   `json:"image"`
	Disk     string   `json:"disk"`
	Erase    string   `json:"erase,omitempty"`
	Hostname string   `json:"hostname,omitempty"`
	Args     []string `json:"args,omitempty"`
}

// Log is a part of a machine's journal. The next call asks for what comes after Next.
type Log struct {
	Entries []fleet.Entry `json:"entries"`
	Next    int64         `json:"next"`
}

// The journal is given in parts, and a caller waits for a bounded time.
const (
	logLimit = 1000
	logWait  = time.Minute
)

func (h *Handler) machines(w http.ResponseWriter, r *http.Request, _ string) error {
	views, err := h.o.Fleet.List(r.Context())
	if err != nil {
		return err
	}
	out := Machines{Machines: []Machine{}}
	for _, v := range views {
		out.Machines = append(out.Machines, show(v.Machine, v.Job))
	}
	return reply(w, http.StatusOK, out)
}

func (h *Handler) machine(w http.ResponseWriter, r *http.Request, _ string) error {
	m, jobs, err := h.o.Fleet.Show(r.Context(), r.PathValue("key"))
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, showAll(m, jobs))
}

func show(m fleet.Machine, j *fleet.Job) Machine {
	return Machine{Name: m.Name, Status: fleet.View{Machine: m, Job: j}.Status(), ID: m.ID, Identity: m.Identity, Inventory: m.Inventory,
		FirstSeen: m.FirstSeen, LastSeen: m.LastSeen, Deployed: m.Deployed, Job: j}
}

func showAll(m fleet.Machine, jobs []fleet.Job) Machine {
	var newest *fleet.Job
	if len(jobs) > 0 {
		newest = &jobs[0]
	}
	out := show(m, newest)
	out.Jobs = jobs
	return out
}

func (h *Handler) install(w http.ResponseWriter, r *http.Request, _ string) error {
	var in Install
	if err := decode(w, r, true, &in); err != nil {
		return err
	}
	return h.give(w, r, job.Install, in)
}

// give makes a job of what is asked for.
func (h *Handler) give(w http.ResponseWriter, r *http.Request, kind job.Kind, in Install) error {
	order, err := h.order(r.Context(), kind, in)
	if err != nil {
		return err
	}
	m, j, err := h.o.Fleet.Install(r.Context(), r.PathValue("key"), order)
	if errors.Is(err, fleet.ErrBusy) {
		return job.NewProblem(http.StatusConflict, err.Error()+"; `griddle machine cancel "+m.Name+"` takes it back")
	}
	if err != nil {
		return err
	}
	h.o.Log.Info("job asked for", "machine", m.Name, "kind", string(kind), "image", j.Spec.Image.Ref, "disk", string(j.Spec.Disk), "job", j.Spec.ID, "remote", r.RemoteAddr)
	return reply(w, http.StatusCreated, show(m, &j))
}

func (h *Handler) cancel(w http.ResponseWriter, r *http.Request, _ string) error {
	key := r.PathValue("key")
	j, err := h.o.Fleet.Cancel(r.Context(), key)
	if err != nil {
		return err
	}
	h.o.Log.Info("job taken back", "machine", job.Printable(key), "image", j.Spec.Image.Ref, "job", j.Spec.ID, "remote", r.RemoteAddr)
	m, jobs, err := h.o.Fleet.Show(r.Context(), key)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, showAll(m, jobs))
}

func (h *Handler) log(w http.ResponseWriter, r *http.Request, _ string) error {
	q := r.URL.Query()
	number := func(name string) (int64, error) {
		if q.Get(name) == "" {
			return 0, nil
		}
		n, err := strconv.ParseInt(q.Get(name), 10, 64)
		if err != nil || n < 0 {
			return 0, job.NewProblem(http.StatusBadRequest, name+" must be a whole number")
		}
		return n, nil
	}
	after, err := number("after")
	if err != nil {
		return err
	}
	seconds, err := number("wait")
	if err != nil {
		return err
	}
	wait := min(time.Duration(min(seconds, 3600))*time.Second, logWait)
	ctx, stop := context.WithTimeout(r.Context(), wait)
	defer stop()
	entries, err := h.o.Fleet.Log(ctx, r.PathValue("key"), after, logLimit)
	if err != nil {
		return err
	}
	out := Log{Entries: entries, Next: after}
	if n := len(entries); n > 0 {
		out.Next = entries[n-1].ID
	} else {
		out.Entries = []fleet.Entry{}
	}
	return reply(w, http.StatusOK, out)
}
