package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"griddle/appliance/account"
	"griddle/appliance/fleet"
	"griddle/appliance/fleet/filter"
	"griddle/appliance/fleet/life"
	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// Machines is one page of the list, by name.
type Machines struct {
	Machines []Machine `json:"machines"`
	Next     string    `json:"next,omitempty"`    // ask for what comes after it; "" where these were the last
	Filter   string    `json:"filter,omitempty"`  // that they all match, see package filter
	Notices  []string  `json:"notices,omitempty"` // what an operator should know before reading the list
}

// Machine is a machine as operators see it.
type Machine struct {
	Name      string            `json:"name"`
	Status    string            `json:"status"` // see fleet.View.Status
	ID        string            `json:"id"`
	State     life.State        `json:"state,omitempty"` // of its life; not after an order
	Since     time.Time         `json:"since,omitzero"`  // when it came to that state
	Why       string            `json:"why,omitempty"`   // what brought it there
	Group     string            `json:"group,omitempty"`
	Tags      []string          `json:"tags,omitempty"` // sorted
	Place     string            `json:"place,omitempty"`
	Note      string            `json:"note,omitempty"`
	Retired   *fleet.Retirement `json:"retired,omitempty"`
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
	Disk  string `json:"disk" required:"false"`
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

// key is the input of a call on one machine.
type key struct {
	Key string `path:"key" doc:"a name, a MAC address or a UUID"`
}

// keyed is key with a body.
type keyed[T any] struct {
	Key string `path:"key" doc:"a name, a MAC address or a UUID"`
	sent[T]
}

type listMachines struct {
	Filter string `query:"filter" doc:"terms that must match, such as: state=deployed tag!=spare"`
	After  string `query:"after" doc:"the name after which the page begins"`
	Limit  int64  `query:"limit" minimum:"0" doc:"how many machines at most; 0 for as many as fit"`
}

func (h *Handler) machines(ctx context.Context, in *listMachines) (out Machines, err error) {
	where, err := filter.Parse(in.Filter)
	if err != nil {
		return out, job.NewProblem(http.StatusBadRequest, err.Error())
	}
	views, next, err := h.o.Fleet.List(ctx, where, in.After, int(min(in.Limit, fleet.MaxPage)))
	if err != nil {
		return out, err
	}
	out = Machines{Machines: []Machine{}, Next: next, Filter: where.String(), Notices: h.o.Fleet.Notices()}
	if h.o.Notices != nil {
		out.Notices = append(out.Notices, h.o.Notices()...)
	}
	size := 0
	for i, v := range views {
		m := show(v)
		b, err := json.Marshal(m)
		if err != nil {
			return out, err
		}
		if size += len(b); size > maxPage && i > 0 {
			out.Next = views[i-1].Machine.Name
			break
		}
		out.Machines = append(out.Machines, m)
	}
	return out, nil
}

func (h *Handler) machine(ctx context.Context, in *key) (Machine, error) { return h.all(ctx, in.Key) }

// all is what is known of the machine that key names.
func (h *Handler) all(ctx context.Context, key string) (Machine, error) {
	v, jobs, err := h.o.Fleet.Show(ctx, key)
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
	return Machine{Name: m.Name, Status: v.Status(), ID: m.ID, State: v.State, Since: v.Since, Why: v.Why(),
		Group: m.Group, Tags: m.Tags, Place: m.Place, Note: m.Note, Retired: m.Retired,
		Claimed: m.Rank != fleet.Ordered, Identity: m.Identity,
		FirstSeen: m.FirstSeen, LastSeen: m.LastSeen,
		Deployed: m.Deployed, Service: m.Service, Away: v.Away, Fell: m.Fell, Kexec: m.Kexec,
		Refused: m.Refused, Conflicts: m.Conflicts,
		LookAt: v.LookAt(), Job: v.Job, Needs: needs(v)}
}

type deleteMachine struct {
	Key      string `path:"key" doc:"a name, a MAC address or a UUID"`
	Recovery string `query:"recovery" enum:"lose" doc:"lose: also if the server keeps recovery keys for it"`
}

func (h *Handler) delete(ctx context.Context, in *deleteMachine) error {
	if who := callerOf(ctx); in.Recovery == "lose" && !who.Role.May(account.Admin) {
		return job.NewProblem(http.StatusForbidden, "only an admin may give up recovery keys, and "+who.Name+
			" has the role "+string(who.Role))
	}
	m, err := h.o.Fleet.Delete(ctx, in.Key, in.Recovery == "lose")
	if err != nil {
		return busy(lost(err), in.Key)
	}
	h.o.Log.Info("machine deleted", "machine", m.Name, "macs", m.Identity.MACs, "uuid", m.Identity.UUID,
		"remote", callerOf(ctx).remote)
	return nil
}

func (h *Handler) approve(ctx context.Context, in *keyed[Approve]) (out Machine, err error) {
	m, err := h.o.Fleet.Approve(ctx, in.Key, in.body.Code)
	if errors.Is(err, fleet.ErrCode) {
		h.o.Log.Warn("a code for approval does not match", "machine", m.Name, "remote", callerOf(ctx).remote)
	}
	if err != nil {
		return out, err
	}
	h.o.Log.Info("boot approved", "machine", m.Name, "remote", callerOf(ctx).remote)
	return h.all(ctx, m.ID)
}

func (h *Handler) rename(ctx context.Context, in *keyed[Rename]) (out Machine, err error) {
	m, err := h.o.Fleet.Rename(ctx, in.Key, in.body.Name)
	if err != nil {
		return out, err
	}
	h.o.Log.Info("machine renamed", "machine", m.Name, "was", job.Printable(in.Key),
		"remote", callerOf(ctx).remote)
	return h.all(ctx, m.ID)
}

func (h *Handler) merge(ctx context.Context, in *keyed[Merge]) (out Machine, err error) {
	m, err := h.o.Fleet.Merge(ctx, in.Key, in.body.Other)
	if err != nil {
		return out, busy(err, in.Key)
	}
	h.o.Log.Info("machines merged", "machine", m.Name, "other", job.Printable(in.body.Other),
		"remote", callerOf(ctx).remote)
	return h.all(ctx, m.ID)
}

// busy says how to end the job that is in the way.
func busy(err error, machine string) error {
	if errors.Is(err, fleet.ErrBusy) {
		return job.NewProblem(http.StatusConflict,
			err.Error()+"; `griddle machine cancel "+job.Printable(machine)+"` cancels it")
	}
	return err
}

func (h *Handler) install(ctx context.Context, in *keyed[Install]) (Machine, error) {
	return h.give(ctx, in.Key, job.Install, in.body)
}

// give makes a job of what is asked for.
func (h *Handler) give(ctx context.Context, key string, kind job.Kind, in Install) (out Machine, err error) {
	order, err := h.order(ctx, kind, in)
	if err != nil {
		return out, err
	}
	if err := h.agreed(ctx, key, order); err != nil {
		return out, err
	}
	order.Replace = in.Replace
	return h.take(ctx, key, order)
}

// take makes a job of an order.
func (h *Handler) take(ctx context.Context, key string, order fleet.Order) (out Machine, err error) {
	settings, err := h.check(ctx, key, order)
	if err != nil {
		return out, err
	}
	m, j, err := h.o.Fleet.Install(ctx, key, order)
	if err != nil {
		return out, busy(err, m.Name)
	}
	h.o.Log.Info("job created", "machine", m.Name, "kind", string(j.Spec.Kind), "image", j.Spec.Image.Ref,
		"disk", string(j.Spec.Disk), "erase", job.Sentence(j.Spec.Erase), "plan", j.Spec.Plan, "job", j.Spec.ID,
		"remote", callerOf(ctx).remote)
	v, _, err := h.o.Fleet.Show(ctx, m.ID)
	if err != nil {
		v.Machine = m
	}
	v.Job = &j
	out = show(v)
	d, _ := layout.Decode(j.Spec.Layout)
	out.Secrets, out.Recovers = len(settings.Secrets()) > 0, d.Recovers()
	return out, nil
}

func (h *Handler) cancel(ctx context.Context, in *key) (out Machine, err error) {
	j, err := h.o.Fleet.Cancel(ctx, in.Key)
	if err != nil {
		return out, err
	}
	h.o.Log.Info("job cancelled", "machine", job.Printable(in.Key), "image", j.Spec.Image.Ref, "job", j.Spec.ID,
		"remote", callerOf(ctx).remote)
	if out, err = h.all(ctx, in.Key); err != nil {
		return out, err
	}
	out.Job = &j // and not the one before it, which says again what the machine has
	return out, nil
}

type readLog struct {
	Key   string `path:"key" doc:"a name, a MAC address or a UUID"`
	After int64  `query:"after" minimum:"0" doc:"the number of the entry after which the part begins"`
	Wait  int64  `query:"wait" minimum:"0" doc:"seconds to wait for an entry, a minute at most"`
}

func (h *Handler) log(ctx context.Context, in *readLog) (out Log, err error) {
	wait := min(time.Duration(min(in.Wait, 3600))*time.Second, logWait)
	ctx, stop := context.WithTimeout(ctx, wait)
	defer stop()
	entries, err := h.o.Fleet.Log(ctx, in.Key, in.After, logLimit)
	if err != nil {
		return out, err
	}
	out = Log{Entries: entries, Next: in.After}
	if n := len(entries); n > 0 {
		out.Next = entries[n-1].ID
	} else {
		out.Entries = []fleet.Entry{}
	}
	return out, nil
}
