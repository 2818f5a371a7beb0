package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// Machines is one page of the list, by name.
type Machines struct {
	Machines []Machine `json:"machines"`
	Next     string    `json:"next,omitempty"`    // ask for what comes after it; "" where these were the last
	Notices  []string  `json:"notices,omitempty"` // what an operator should know before reading the list
}

// Machine is a machine as operators see it.
type Machine struct {
	Name      string            `json:"name"`
	Status    string            `json:"status"` // see fleet.View.Status
	ID        string            `json:"id"`
	Claimed   bool              `json:"claimed,omitempty"` // no operator named it: all of this is what strangers say
	Identity  job.Identity      `json:"identity"`
	Inventory *job.Inventory    `json:"inventory,omitempty"` // not in the list
	FirstSeen time.Time         `json:"firstSeen"`
	LastSeen  time.Time         `json:"lastSeen"` // the zero time: not yet
	Deployed  *fleet.Deployment `json:"deployed,omitempty"`
	Service   *fleet.Service    `json:"service,omitempty"`   // the last check-in of the service on it
	Away      bool              `json:"away,omitempty"`      // the service has not checked in for three intervals
	Fell      *job.Fell         `json:"fell,omitempty"`      // its last fallback to another root
	Kexec     *job.Kexec        `json:"kexec,omitempty"`     // its last start by kexec
	Refused   *fleet.Refusal    `json:"refused,omitempty"`   // why it got no answer when it last asked to boot
	Conflicts []fleet.Conflict  `json:"conflicts,omitempty"` // what machines claimed about it that contradicts
	LookAt    []string          `json:"lookAt,omitempty"`    // what to check if it should have reported
	// boots that wait for approval; not in the list, and without their codes
	Waiting []fleet.WaitingBoot `json:"waiting,omitempty"`
	// the machine, itself or one of its model, on which kexec failed, so that it restarts through its firmware; not in
	// the list
	KexecFailed string `json:"kexecFailed,omitempty"`
	// its settings have secrets, so that the next boot waits for approval, unless its key is approved; after an order
	Secrets bool `json:"secrets,omitempty"`
	// its disks get a recovery key, for which the same holds; after an order
	Recovers bool `json:"recovers,omitempty"`
	// how many recovery keys the server keeps for it; not in the list
	RecoveryKeys int  `json:"recoveryKeys,omitempty"`
	Current      bool `json:"current,omitempty"` // after an order of an update: it has the image already
	// what a person has to do before the update that is pending begins; one sentence, "" for nothing
	Needs string      `json:"needs,omitempty"`
	Job   *fleet.Job  `json:"job,omitempty"`  // the most important one, see fleet.View
	Jobs  []fleet.Job `json:"jobs,omitempty"` // all, the newest first; not in the list
}

// Install asks for an install. The fields are what an operator types.
type Install struct {
	Image string `json:"image"`
	Disk  string `json:"disk"`
	Erase string `json:"erase,omitempty"`
	// Layout is a layout.Document, and takes the place of Disk and Erase. Plan is the hash of the plan that was agreed
	// to, as job.Spec.Plan.
	Layout   json.RawMessage `json:"layout,omitempty"`
	Plan     string          `json:"plan,omitempty"`
	Hostname string          `json:"hostname,omitempty"`
	Args     []string        `json:"args,omitempty"`
	Reset    string          `json:"reset,omitempty"`   // what is fresh at each start, see job.Reset
	Replace  bool            `json:"replace,omitempty"` // take back what waits or runs on the machine
}

// Approve says which boot of a machine an operator has seen.
type Approve struct {
	Code string `json:"code"` // from the machine's screen, such as 7K4M-QX2D
}

// Rename gives a machine another name.
type Rename struct {
	Name string `json:"name"`
}

// Merge says that another machine is the same one.
type Merge struct {
	Other string `json:"other"` // its key
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

// maxPage bounds a page in bytes of JSON, beside fleet.MaxPage machines.
const maxPage = 2 << 20

func (h *Handler) machines(w http.ResponseWriter, r *http.Request, _ fleet.Proof) error {
	limit, err := number(r, "limit")
	if err != nil {
		return err
	}
	views, next, err := h.o.Fleet.List(r.Context(), r.URL.Query().Get("after"), int(min(limit, fleet.MaxPage)))
	if err != nil {
		return err
	}
	out := Machines{Machines: []Machine{}, Next: next, Notices: h.o.Fleet.Notices()}
	if h.o.Notices != nil {
		out.Notices = append(out.Notices, h.o.Notices()...)
	}
	size := 0
	for i, v := range views {
		m := show(v)
		b, err := json.Marshal(m)
		if err != nil {
			return err
		}
		if size += len(b); size > maxPage && i > 0 {
			out.Next = views[i-1].Machine.Name
			break
		}
		out.Machines = append(out.Machines, m)
	}
	return reply(w, http.StatusOK, out)
}

func (h *Handler) machine(w http.ResponseWriter, r *http.Request, _ fleet.Proof) error {
	return h.reply(w, r, r.PathValue("key"))
}

// reply answers with all that is known of the machine that key names.
func (h *Handler) reply(w http.ResponseWriter, r *http.Request, key string) error {
	out, err := h.all(r, key)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, out)
}

// all is what is known of the machine that key names.
func (h *Handler) all(r *http.Request, key string) (Machine, error) {
	v, jobs, err := h.o.Fleet.Show(r.Context(), key)
	if err != nil {
		return Machine{}, err
	}
	out := show(v)
	out.Inventory, out.Jobs, out.Waiting, out.KexecFailed = &v.Machine.Inventory, jobs, v.Waiting, v.KexecFailed
	out.RecoveryKeys = v.RecoveryKeys
	return out, nil
}

func show(v fleet.View) Machine {
	m := v.Machine
	return Machine{Name: m.Name, Status: v.Status(), ID: m.ID, Claimed: m.Rank != fleet.Ordered, Identity: m.Identity,
		FirstSeen: m.FirstSeen, LastSeen: m.LastSeen,
		Deployed: m.Deployed, Service: m.Service, Away: v.Away, Fell: m.Fell, Kexec: m.Kexec,
		Refused: m.Refused, Conflicts: m.Conflicts,
		LookAt: v.LookAt(), Job: v.Job, Needs: needs(v)}
}

func (h *Handler) delete(w http.ResponseWriter, r *http.Request, _ fleet.Proof) error {
	m, err := h.o.Fleet.Delete(r.Context(), r.PathValue("key"), r.URL.Query().Get("recovery") == "lose")
	if err != nil {
		return busy(lost(err), r.PathValue("key"))
	}
	h.o.Log.Info("machine deleted", "machine", m.Name, "macs", m.Identity.MACs, "uuid", m.Identity.UUID,
		"remote", r.RemoteAddr)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h *Handler) approve(w http.ResponseWriter, r *http.Request, _ fleet.Proof) error {
	var in Approve
	if err := decode(w, r, true, &in); err != nil {
		return err
	}
	m, err := h.o.Fleet.Approve(r.Context(), r.PathValue("key"), in.Code)
	if errors.Is(err, fleet.ErrCode) {
		h.o.Log.Warn("a code for approval does not match", "machine", m.Name, "remote", r.RemoteAddr)
	}
	if err != nil {
		return err
	}
	h.o.Log.Info("boot approved", "machine", m.Name, "remote", r.RemoteAddr)
	return h.reply(w, r, m.ID)
}

func (h *Handler) rename(w http.ResponseWriter, r *http.Request, _ fleet.Proof) error {
	var in Rename
	if err := decode(w, r, true, &in); err != nil {
		return err
	}
	m, err := h.o.Fleet.Rename(r.Context(), r.PathValue("key"), in.Name)
	if err != nil {
		return err
	}
	h.o.Log.Info("machine renamed", "machine", m.Name, "was", job.Printable(r.PathValue("key")), "remote", r.RemoteAddr)
	return h.reply(w, r, m.ID)
}

func (h *Handler) merge(w http.ResponseWriter, r *http.Request, _ fleet.Proof) error {
	var in Merge
	if err := decode(w, r, true, &in); err != nil {
		return err
	}
	m, err := h.o.Fleet.Merge(r.Context(), r.PathValue("key"), in.Other)
	if err != nil {
		return busy(err, r.PathValue("key"))
	}
	h.o.Log.Info("machines merged", "machine", m.Name, "other", job.Printable(in.Other), "remote", r.RemoteAddr)
	return h.reply(w, r, m.ID)
}

// busy says how to end the job that is in the way.
func busy(err error, machine string) error {
	if errors.Is(err, fleet.ErrBusy) {
		return job.NewProblem(http.StatusConflict,
			err.Error()+"; `griddle machine cancel "+job.Printable(machine)+"` cancels it")
	}
	return err
}

func (h *Handler) install(w http.ResponseWriter, r *http.Request, _ fleet.Proof) error {
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
	if err := h.agreed(r.Context(), r.PathValue("key"), order); err != nil {
		return err
	}
	order.Replace = in.Replace
	return h.take(w, r, order)
}

// take makes a job of an order.
func (h *Handler) take(w http.ResponseWriter, r *http.Request, order fleet.Order) error {
	settings, err := h.check(r.Context(), r.PathValue("key"), order)
	if err != nil {
		return err
	}
	m, j, err := h.o.Fleet.Install(r.Context(), r.PathValue("key"), order)
	if err != nil {
		return busy(err, m.Name)
	}
	h.o.Log.Info("job created", "machine", m.Name, "kind", string(j.Spec.Kind), "image", j.Spec.Image.Ref,
		"disk", string(j.Spec.Disk), "erase", job.Sentence(j.Spec.Erase), "plan", j.Spec.Plan, "job", j.Spec.ID,
		"remote", r.RemoteAddr)
	v, _, err := h.o.Fleet.Show(r.Context(), m.ID)
	if err != nil {
		v.Machine = m
	}
	v.Job = &j
	out := show(v)
	d, _ := layout.Decode(j.Spec.Layout)
	out.Secrets, out.Recovers = len(settings.Secrets()) > 0, d.Recovers()
	return reply(w, http.StatusCreated, out)
}

func (h *Handler) cancel(w http.ResponseWriter, r *http.Request, _ fleet.Proof) error {
	key := r.PathValue("key")
	j, err := h.o.Fleet.Cancel(r.Context(), key)
	if err != nil {
		return err
	}
	h.o.Log.Info("job cancelled", "machine", job.Printable(key), "image", j.Spec.Image.Ref, "job", j.Spec.ID,
		"remote", r.RemoteAddr)
	out, err := h.all(r, key)
	if err != nil {
		return err
	}
	out.Job = &j // and not the one before it, which says again what the machine has
	return reply(w, http.StatusOK, out)
}

func (h *Handler) log(w http.ResponseWriter, r *http.Request, _ fleet.Proof) error {
	after, err := number(r, "after")
	if err != nil {
		return err
	}
	seconds, err := number(r, "wait")
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

// number reads a whole number of the query, 0 where it is not there.
func number(r *http.Request, name string) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, job.NewProblem(http.StatusBadRequest, name+" must be a whole number")
	}
	return n, nil
}
