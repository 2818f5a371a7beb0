package fleet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"griddle/appliance/job"
	"griddle/netboot"
)

// Boot implements netboot.Booter. A machine with an operator's live job boots the agent, one with an installed system
// boots its disk, as one that is retired, and every other machine boots what the policy says. A new machine is recorded
// if there is room; the answer does not depend on that.
func (f *Fleet) Boot(ctx context.Context, m netboot.Machine) (netboot.Spec, error) {
	id := job.Identity{UUID: m.UUID, MACs: []string{m.MAC.String()}}.Bounded()
	if len(id.MACs) == 0 {
		return netboot.Spec{}, fmt.Errorf("deciding what to boot: %w MAC address %q", ErrInvalid, m.MAC.String())
	}
	action := netboot.Menu
	decides := func(tx *sql.Tx, known Machine, jobs []Job, remember bool) (err error) {
		unknown := f.options().Unknown
		if _, is := decided(jobs); !is {
			unknown, err = f.policy(ctx, tx, known, booting{id.MACs[0], m.Address, remember}, jobs)
		}
		action = decide(unknown, jobs)
		return err
	}
	known, jobs, disks, err := f.findBooting(ctx, id, true, func(tx *sql.Tx, known *Machine, jobs []Job) error {
		known.Refused = nil
		if j := lastDone(jobs); j != nil && ordered(jobs) == nil &&
			(known.Handed == nil || known.Handed.Job != j.Spec.ID) {
			known.Handed = &Handing{Job: j.Spec.ID, Time: f.o.Now().UTC()}
		}
		return decides(tx, *known, jobs, true)
	})
	if errors.Is(err, ErrFull) || errors.Is(err, ErrDiskFull) {
		known, jobs, disks, err = f.findBooting(ctx, id, false, func(tx *sql.Tx, known *Machine, jobs []Job) error {
			return decides(tx, *known, jobs, false)
		})
	}
	if err != nil {
		return netboot.Spec{}, fmt.Errorf("deciding what to boot: %w", err)
	}
	spec := netboot.Spec{
		Action:  action,
		Kernel:  f.o.Kernel,
		Initrds: f.o.Initrds,
		Args: append([]string{"console=tty0", "console=ttyS0,115200", "quiet", "loglevel=3",
			"griddle.mac=" + id.MACs[0]}, f.options().Args...),
	}
	if known.Retired != nil {
		spec.Action = netboot.Local
	}
	if j := system(jobs); j != nil {
		s := starts(*j, disks)
		spec.Disk, spec.Other, spec.Volume = s.TableID, s.Other, s.ESP
	}
	return spec, nil
}

// starts is what starts the system of a job. What the machine said of its disks later counts more than what it said at
// the end of the install: Windows gives a disk another ID if it finds two with the same. The disks of a job without a
// layout have its ID.
func starts(j Job, disks []job.Disk) job.Starts {
	s := job.StartsOf(j.Spec.ID)
	if j.Starts != nil {
		s = *j.Starts
	}
	var now []string // of a mirror two
	for _, d := range disks {
		if d.Installed == j.Spec.ID && tableID.MatchString(d.TableID) {
			now = append(now, d.TableID)
		}
	}
	if len(now) > 0 && !slices.Contains(now, s.TableID) {
		s.TableID = now[0]
	}
	for _, id := range now {
		if id != s.TableID {
			s.Other = id
		}
	}
	if s.Other == s.TableID || !tableID.MatchString(s.Other) {
		s.Other = ""
	}
	if !tableID.MatchString(s.TableID) {
		s.TableID = j.Spec.ID
	}
	if s.ESP != job.ESPLabel(j.Spec.ID) {
		s.ESP = "" // the firmware's own entry starts it
	}
	return s
}

// tableID is the GUID of a GPT, or the disk signature of an MBR.
var tableID = regexp.MustCompile(`^[0-9a-f]{8}((-[0-9a-f]{4}){3}-[0-9a-f]{12})?$`)

// findBooting finds the machine that asked to boot, lets note change it, and returns it with its jobs, and with its
// disks if it has a system. Without remember nothing is written, and a machine that is not known has no jobs: it is the
// zero value to note.
func (f *Fleet) findBooting(ctx context.Context, id job.Identity, remember bool,
	note func(*sql.Tx, *Machine, []Job) error) (known Machine, jobs []Job, disks []job.Disk, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		known, _, err = recognise(ctx, tx, id)
		if errors.Is(err, ErrUnknown) && remember {
			known, err = f.addMachine(ctx, tx, id, Sighting, netbootSource)
		}
		if errors.Is(err, ErrUnknown) {
			return note(tx, &Machine{}, nil)
		}
		if err != nil {
			return err
		}
		if jobs, err = jobsOf(ctx, tx, known.ID); err == nil && system(jobs) != nil {
			var v job.Inventory
			v, err = inventoryOf(ctx, tx, known.ID)
			disks = v.Disks
		}
		if err != nil {
			return err
		}
		if !remember {
			return note(tx, &known, jobs)
		}
		// The UUID that firmware sends may be in another byte order than the agent's, which is the better one.
		if known.Identity.UUID == "" {
			known.Identity.UUID = id.UUID
		}
		if known.Rank != Ordered {
			known.learn(job.Identity{MACs: id.MACs})
		}
		known.LastSeen = f.o.Now().UTC()
		if err := note(tx, &known, jobs); err != nil {
			return err
		}
		return save(ctx, tx, known)
	})
	return known, jobs, disks, err
}

// Seen implements netboot.Observer and does nothing: Boot has already recorded the machine.
func (f *Fleet) Seen(netboot.Machine, string) {}

// Refused implements netboot.Observer: the machine is listed with the reason until it boots. A refusal that cannot be
// stored, for example because the state disk is full, appears in Notices.
func (f *Fleet) Refused(m netboot.Machine, why string) {
	id := job.Identity{UUID: m.UUID, MACs: []string{m.MAC.String()}}.Bounded()
	if len(id.MACs) == 0 {
		return
	}
	const limit = 5 * time.Second // the caller serves other machines
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	r := &Refusal{Time: f.o.Now().UTC(), Why: job.Sentence(why)}
	_, _, _, err := f.findBooting(ctx, id, true, func(_ *sql.Tx, known *Machine, _ []Job) error {
		known.Refused = r
		return nil
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		delete(f.unwritten, id.MACs[0])
		return
	}
	if len(f.unwritten) >= maxUnwritten {
		clear(f.unwritten)
	}
	f.unwritten[id.MACs[0]] = *r
}

// maxUnwritten bounds the refusals that could not be stored.
const maxUnwritten = 64

// Notices are sentences to show above a list of machines: the refusals of the last hour that could not be stored.
func (f *Fleet) Notices() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for mac, r := range f.unwritten {
		if f.o.Now().Sub(r.Time) > time.Hour {
			delete(f.unwritten, mac)
			continue
		}
		out = append(out, fmt.Sprintf("%s asked to boot and got no answer: %s", mac, r.Why))
	}
	return out
}

// lastGiven is the newest job of an operator or a rule that wrote a system to a disk, nil where none did.
func lastGiven(jobs []Job) *Job {
	for i, j := range jobs {
		if j.given() && j.installs() && j.Spec.Started != "" {
			return &jobs[i]
		}
	}
	return nil
}

// lastDone is the newest job that wrote a system to a disk and was done, nil where there is none.
func lastDone(jobs []Job) *Job {
	for i, j := range jobs {
		if j.State == job.Done && j.installs() && j.Spec.Started != "" {
			return &jobs[i]
		}
	}
	return nil
}

// installs says whether the job, if it writes to a disk, leaves a system there.
func (j Job) installs() bool { return j.Spec.Kind != job.Erase }

// system is the job whose system the machine's disk is started for, nil where none is known. A screen's job counts only
// on a machine that no job of an operator or a rule left with a system. The system of a disk that was erased does not
// count.
func system(jobs []Job) *Job {
	s := lastDone(jobs)
	if j := lastGiven(jobs); j != nil && j.State == job.Done {
		s = j
	}
	if s != nil && s.Erased {
		return nil
	}
	return s
}

// pools are those that a machine with these jobs may have, nil if no install is known to have made one. An install that
// began may have ended on its disk although the server heard nothing of that.
func pools(jobs []Job) (out []string) {
	if lastDone(jobs) == nil {
		return nil
	}
	for _, j := range jobs {
		if j.Spec.Kind == job.Install && j.Spec.Started != "" {
			out = append(out, j.Spec.ID)
		}
	}
	return out
}

// decided says what a machine boots because of its jobs, and whether they decide.
func decided(jobs []Job) (action netboot.Action, is bool) {
	if j := ordered(jobs); j != nil && (j.Spec.Kind != job.Update || j.due() && !j.TooOld) {
		return netboot.Agent, true
	}
	j := lastGiven(jobs)
	return netboot.Local, j != nil && j.State == job.Done && !j.Erased
}

// decide says what a machine with these jobs, the newest first, boots. Only jobs of operators and rules decide. A live
// one starts the agent, unless it is an update that the agent cannot do or has done. Of the finished ones the last that
// wrote to a disk counts: if it was done, the disk has a system, otherwise only parts of one. A job from a screen
// changes nothing, because anyone can claim to be at the screen of any machine. A machine that was installed from its
// screen gets the menu, whose default is the disk, even if the policy would start the agent.
func decide(unknown Policy, jobs []Job) netboot.Action {
	if action, is := decided(jobs); is {
		return action
	}
	switch unknown {
	case StartAgent:
		if j := lastDone(jobs); j != nil && j.Origin == Screen && !j.Erased {
			return netboot.Menu
		}
		return netboot.Agent
	case BootLocal:
		return netboot.Local
	}
	return netboot.Menu
}
