package fleet

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"griddle/appliance/job"
	"griddle/appliance/rule"
)

// Greeting answers a machine's hello.
type Greeting struct {
	Machine    Machine
	Token      string           // authorises this boot
	Job        *Job             // nil: the machine asks its user
	Home       string           // with Job: the one-time token for the system that will be installed
	Unfinished []job.Unfinished // installs that were started on this machine's screen and may continue
	First      bool             // this boot had not said hello before
	Approved   bool             // an operator approved the key of this boot for the machine

	// Rule orders an install for the machine: Follow makes the job, or StopRule notes why there is none. nil without.
	Rule *rule.Rule

	// Waiting: an operator has to approve the boot before it gets a job. Its screen shows Code, "" for a boot without a
	// key, which cannot be approved.
	Waiting bool
	Code    string
}

// Hello records what an agent says about its machine; from is the quota.Key of the agent's address, and key the one
// that its connection proved, see Proof. If the same boot says hello again, with the same key, its earlier token
// becomes invalid. Of what a hello says only the key is proved: it makes or changes a sighting. Of a machine with a
// higher rank it changes only what is shown. It never ends a job or another running boot.
func (f *Fleet) Hello(ctx context.Context, from, key string, h job.Hello) (Greeting, error) {
	h = h.Bounded()
	if job.NormalUUID(h.Boot) == "" {
		return Greeting{}, fmt.Errorf("%w: the boot id is not a UUID", ErrInvalid)
	}
	if h.Identity.UUID == "" && len(h.Identity.MACs) == 0 {
		return Greeting{}, fmt.Errorf("%w: the machine has neither a UUID nor a MAC address", ErrInvalid)
	}
	g := Greeting{Token: rand.Text() + rand.Text()}
	err := f.change(ctx, func(tx *sql.Tx) error {
		m, err := f.claim(ctx, tx, from, key, h)
		if err != nil {
			return err
		}
		if g.First, err = f.boot(ctx, tx, m, from, h, Proof{g.Token, key}); err != nil {
			return err
		}
		g.Machine = m
		s := Session{}
		err = tx.QueryRowContext(ctx, "SELECT "+approved+" FROM boots WHERE boot = ?", h.Boot).Scan(&g.Approved)
		if err != nil {
			return err
		}
		jobs, err := jobsOf(ctx, tx, m.ID)
		if err != nil {
			return err
		}
		r, makes := (*rule.Rule)(nil), false
		if r, makes, s.needs, err = f.acting(ctx, tx, m, from, h, jobs); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE boots SET needs = ?1 WHERE boot = ?2 AND needs <> ?1", s.needs,
			h.Boot); err != nil {
			return err
		}
		s.Approved = g.Approved
		if g.Waiting = !f.mayWork(s); g.Waiting {
			g.Code, err = f.await(ctx, tx, m, h.Boot, from)
			return err
		}
		if g.Job = ordered(jobs); g.Job != nil {
			if g.Job.Spec.Kexec, err = f.mayKexec(ctx, tx, m, g.Job.Spec.Kind); err != nil {
				return err
			}
		}
		if g.Job != nil && g.Job.Spec.Kind == job.Update {
			if !g.Job.due() {
				g.Job = nil // its disk has the new root
			}
			return nil
		}
		if g.Job != nil && g.Job.installs() {
			g.Home, err = f.newHome(ctx, tx, *g.Job, h.Boot)
			return err
		}
		if g.Job == nil {
			if g.Unfinished = unfinished(jobs, h.Inventory.Disks); makes {
				g.Rule = r
			}
		}
		return nil
	})
	if err != nil {
		return Greeting{}, fmt.Errorf("greeting a machine: %w", err)
	}
	return g, nil
}

// claim finds or makes the machine that says hello, and records what a claim may change.
func (f *Fleet) claim(ctx context.Context, tx *sql.Tx, from, key string, h job.Hello) (Machine, error) {
	now, id := f.o.Now().UTC(), h.Identity
	m, others, err := recognise(ctx, tx, id)
	if err == nil || errors.Is(err, ErrUnknown) {
		if err := f.takes(ctx, tx, m, key); err != nil {
			return m, err
		}
	}
	if errors.Is(err, ErrUnknown) {
		m, err = f.addMachine(ctx, tx, id, Sighting, from)
	}
	if err != nil {
		return m, err
	}
	if len(others) > 0 {
		m.conflict(now, fmt.Sprintf("%s said hello as this machine and as %s", place(from), abbreviate(others)))
	}
	if have := m.Identity.UUID; have != "" && id.UUID != "" && !sameUUID(have, id.UUID) {
		m.conflict(now,
			fmt.Sprintf("%s said hello as this machine with the UUID %s instead of %s", place(from), id.UUID, have))
	}
	taken, err := claimedByOthers(ctx, tx, m, &id)
	if err != nil {
		return m, err
	}
	if len(taken) > 0 {
		m.conflict(now,
			fmt.Sprintf("%s said hello as this machine with addresses of %s", place(from), abbreviate(taken)))
	}
	m.LastSeen, m.Refused = now, nil
	if m.Rank != Sighting && len(others)+len(taken) > 0 {
		// If it claims to be several machines, none of it is believed.
		m.Inventory = h.Inventory
		return m, save(ctx, tx, m)
	}
	firm, err := firmMACs(ctx, tx, m)
	if err != nil {
		return m, err
	}
	m.learn(id, firm...)
	if err := save(ctx, tx, m); err != nil {
		return m, err
	}
	if err := endSightings(ctx, tx, m, id); err != nil {
		return m, err
	}
	m.Inventory = h.Inventory
	return m, f.saveInventory(ctx, tx, m, h.Inventory)
}

// claimedByOthers takes the addresses out of id that machines above a sighting have, m excepted, and returns the names
// of those machines. The first address stays: a docking station's has several machines. A machine whose UUID and serial
// number a machine above a sighting has is named too: perhaps its network card was changed.
func claimedByOthers(ctx context.Context, tx *sql.Tx, m Machine, id *job.Identity) (names []string, err error) {
	found, err := queryMachines(ctx, tx,
		`WHERE rank > 0 AND id <> ?1 AND (id IN (SELECT machine FROM macs WHERE mac IN (SELECT value FROM json_each(?2))) OR ?3 <> '' AND uuid IN (?3, ?4))
		ORDER BY name LIMIT 256`, m.ID, encode(id.MACs), id.UUID, swapUUID(id.UUID))
	if err != nil {
		return nil, err
	}
	taken := map[string]bool{}
	for _, o := range found {
		shares := tellingSerial(id.Serial) && o.Identity.Serial == id.Serial && sameUUID(o.Identity.UUID, id.UUID)
		for _, mac := range id.MACs {
			if o.has(mac) {
				taken[mac], shares = true, true
			}
		}
		if shares {
			names = append(names, o.Name)
		}
	}
	var keep []string
	for i, mac := range id.MACs {
		if i == 0 || !taken[mac] || m.has(mac) {
			keep = append(keep, mac)
		}
	}
	id.MACs = keep
	return names, nil
}

func place(from string) string {
	if from == "" {
		return "a client"
	}
	return job.Printable(from)
}

// abbreviate names some of the machines that names lists.
func abbreviate(names []string) string {
	if len(names) > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
	}
	return strings.Join(names, ", ")
}

// unfinished are the jobs among the machine's whose marks its disks have and that may be continued. Only a disk and
// this file know a mark.
func unfinished(jobs []Job, disks []job.Disk) (out []job.Unfinished) {
	for _, j := range jobs {
		for _, d := range disks {
			if j.continues() && d.Unfinished == j.Spec.ID {
				out = append(out, job.Unfinished{Job: j.Spec.ID, Image: j.Spec.Image.Ref})
				break
			}
		}
	}
	return out
}

// newHome makes a one-time token for a job. Each hello of the job gets its own, because only their hashes are kept; the
// first that is used voids them all. Those of the boot that carries the job out are never the ones that go.
func (f *Fleet) newHome(ctx context.Context, tx *sql.Tx, j Job, boot string) (string, error) {
	token := rand.Text() + rand.Text()
	if _, err := tx.ExecContext(ctx, "INSERT INTO homes (token, job, boot, created) VALUES (?, ?, ?, ?)", hash(token),
		j.Spec.ID, boot, f.o.Now().UnixNano()); err != nil {
		return "", err
	}
	const newest = "token NOT IN (SELECT token FROM homes WHERE job = ?1 AND (boot = ?2) = ?3 ORDER BY created DESC, " +
		"rowid DESC LIMIT ?4)"
	for _, own := range []bool{true, false} {
		_, err := tx.ExecContext(ctx, "DELETE FROM homes WHERE job = ?1 AND (boot = ?2) = ?3 AND "+newest, j.Spec.ID,
			j.carrier(), own, maxHomes)
		if err != nil {
			return "", err
		}
	}
	return token, nil
}

// Home records the report of an installed system that is up, once per job: afterwards all tokens of that job are
// invalid.
// The machine is then deployed.
func (f *Fleet) Home(ctx context.Context, token string, r job.HomeReport) (m Machine, err error) {
	r = r.Bounded()
	err = f.change(ctx, func(tx *sql.Tx) error {
		jobs, err := queryJobs(ctx, tx, "WHERE id = (SELECT job FROM homes WHERE token = ?)", hash(token))
		if err != nil {
			return err
		}
		if len(jobs) == 0 {
			return ErrToken
		}
		j, now := jobs[0], f.o.Now().UTC()
		if _, err := tx.ExecContext(ctx, "DELETE FROM homes WHERE job = ?", j.Spec.ID); err != nil {
			return err
		}
		// The agent's last event may have been lost at its reboot. A system that is up proves that the install is done.
		if j.State == job.Started {
			j.State, j.Changed, j.Message = job.Done, now, ""
			if err := saveJob(ctx, tx, j); err != nil {
				return err
			}
			if err := f.installedBy(ctx, tx, j, j.carrier(), now); err != nil {
				return err
			}
		}
		if m, err = byID(ctx, tx, j.Machine); err != nil {
			return err
		}
		m.Deployed = &Deployment{Job: j.Spec.ID, Image: j.Spec.Image.Ref, Time: now, Report: r}
		if j.Root = r.Root; j.Root != "" {
			if err := saveJob(ctx, tx, j); err != nil {
				return err
			}
		}
		m.LastSeen = now
		if err := save(ctx, tx, m); err != nil {
			return err
		}
		return f.note(ctx, tx, j, job.Info,
			fmt.Sprintf("%s is up as %s, kernel %s: deployed", j.Spec.Image.Ref, r.Hostname, r.Kernel))
	})
	if err != nil {
		return Machine{}, fmt.Errorf("recording that an installed system is up: %w", err)
	}
	f.grown()
	return m, nil
}

// hash is how tokens are stored: they are random, so that a plain hash is enough.
func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
