package job

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// CheckInPath is below the server's https address. POST CheckIn -> CheckedIn; there is no token: the key of the
// client's certificate says which machine it is.
const CheckInPath = "/v1/agent/check-in"

// MaxCheckIn is the most that the JSON of a CheckIn has, in bytes. A server of an earlier version takes 4096, which is
// enough without Job and Fell.
const MaxCheckIn = 64 << 10

// CheckIn is what the service on an installed machine says every few minutes. Nothing in it names a machine: the key
// does. The server shows it, and believes none of it.
type CheckIn struct {
	Agent  string `json:"agent"`            // version and build date
	Root   string `json:"root"`             // the subvolume of /
	Sealed bool   `json:"sealed,omitempty"` // a TPM seals the machine's key
	// Notice is the number of the newest notice of the site that it has (package notice), 0 for none.
	Notice int64 `json:"notice,omitempty"`
	// Trouble is what the last check-in led to and could not be done, one line: a notice that was refused, an agent
	// that did not start.
	Trouble string `json:"trouble,omitempty"`

	// Features are what the service can do beyond the first version of the contract: FeatureUpdate, FeatureKernel,
	// FeatureKexec, FeatureReset, and those of actions.
	Features []string `json:"features,omitempty"`
	// Boot is a random ID of this start of the system: /proc/sys/kernel/random/boot_id.
	Boot  string `json:"boot,omitempty"`
	Roots []Root `json:"roots,omitempty"` // of the pool, the newest first
	// Job is the update that the service carries out, or one that ended since the last check-in.
	Job *JobReport `json:"job,omitempty"`
	// Action is the same of an action. An update that waits for a restart and the action that restarts are both there.
	Action *JobReport `json:"action,omitempty"`
	// Fell is the last fallback; it is repeated until a check-in with it was answered.
	Fell *Fell `json:"fell,omitempty"`
	// Kexec is the last start by kexec, as long as the machine has a record of it.
	Kexec *Kexec `json:"kexec,omitempty"`
}

// Kexec is what became of a machine's last start by kexec.
type Kexec struct {
	Time   time.Time `json:"time"`
	Root   string    `json:"root"`             // that was started
	Failed bool      `json:"failed,omitempty"` // it did not come up, and the firmware started the machine next
}

// Root is a system in the pool of a machine.
type Root struct {
	Name  string `json:"name"`
	Image string `json:"image,omitempty"` // that it was made of
	Runs  bool   `json:"runs,omitempty"`  // now
	Good  bool   `json:"good,omitempty"`  // it proved itself once
	Next  bool   `json:"next,omitempty"`  // the next start takes it
	Reset Reset  `json:"reset,omitempty"` // what is fresh at each of its starts
}

// JobReport says how far an update or an action is. A service repeats the end of a job until a check-in with it was
// answered.
type JobReport struct {
	ID string `json:"id"`
	// State is Started, Done or Failed; an update is done after the new root runs and proved itself.
	State    State     `json:"state"`
	Phase    Phase     `json:"phase,omitempty"`
	Message  string    `json:"message,omitempty"` // one line; with Failed, why
	Progress *Progress `json:"progress,omitempty"`
	Kernel   string    `json:"kernel,omitempty"` // with Done: the release of the kernel that runs
	Ran      *Ran      `json:"ran,omitempty"`    // with Done, of a run
}

// Fell says that a root did not prove itself, and that the machine runs another one again.
type Fell struct {
	Time   time.Time `json:"time"`            // when that was noticed
	Job    string    `json:"job,omitempty"`   // the update that made the root
	Root   string    `json:"root"`            // that failed
	Image  string    `json:"image,omitempty"` // that it was made of
	Reason string    `json:"reason"`          // one line
	Lines  []string  `json:"lines,omitempty"` // the last that the failed unit said, the newest last
}

// Limits of a check-in.
const (
	maxRoots    = 16
	maxFellLine = 10 // of Fell.Lines
)

// Bounded returns c with printable strings, cut to what the server keeps.
func (c CheckIn) Bounded() CheckIn {
	c.Agent, c.Root, c.Trouble = Printable(c.Agent), short(c.Root), Sentence(c.Trouble)
	c.Notice = max(c.Notice, 0)
	c.Features = append([]string(nil), c.Features[:min(len(c.Features), maxFeatures)]...)
	for i := range c.Features {
		c.Features[i] = Printable(c.Features[i])
	}
	c.Boot = NormalUUID(c.Boot)
	c.Roots = append([]Root(nil), c.Roots[:min(len(c.Roots), maxRoots)]...)
	for i := range c.Roots {
		c.Roots[i] = c.Roots[i].bounded()
	}
	for _, r := range []**JobReport{&c.Job, &c.Action} {
		if *r != nil {
			j := (*r).bounded()
			*r = &j
		}
	}
	if c.Fell != nil {
		f := c.Fell.bounded()
		c.Fell = &f
	}
	if c.Kexec != nil {
		c.Kexec = &Kexec{Time: sane(c.Kexec.Time), Root: short(c.Kexec.Root), Failed: c.Kexec.Failed}
	}
	return c
}

func (j JobReport) bounded() JobReport {
	j.ID, j.State, j.Phase = NormalUUID(j.ID), State(Printable(string(j.State))), Phase(Printable(string(j.Phase)))
	j.Message, j.Kernel, j.Ran = Sentence(j.Message), Printable(j.Kernel), j.Ran.bounded()
	if j.Progress != nil && j.Progress.Ways != nil {
		p, w := *j.Progress, *j.Progress.Ways
		w.Now, w.Why = Printable(w.Now), Sentence(w.Why)
		p.Ways, j.Progress = &w, &p
	}
	return j
}

func (f Fell) bounded() Fell {
	f.Job, f.Root, f.Image = NormalUUID(f.Job), short(f.Root), short(f.Image)
	f.Reason = Sentence(f.Reason)
	f.Time = sane(f.Time)
	f.Lines = append([]string(nil), f.Lines[max(0, len(f.Lines)-maxFellLine):]...)
	for i := range f.Lines {
		f.Lines[i] = short(f.Lines[i])
	}
	return f
}

// sane is a time in UTC, zero for one that JSON may not have.
func sane(t time.Time) time.Time {
	if t = t.UTC(); t.Year() < 1970 || t.Year() > 9000 {
		return time.Time{}
	}
	return t
}

func (r Root) bounded() Root {
	r.Name, r.Image, r.Reset = short(r.Name), short(r.Image), Reset(Printable(string(r.Reset)))
	return r
}

// short is Sentence, cut to maxText bytes.
func short(s string) string { return strings.TrimRight(clip(Sentence(s)), " ") }

// CheckedIn answers a check-in. Head and Notice are signed by the site's key; the rest counts for nothing beyond what
// TLS says.
type CheckedIn struct {
	Time    time.Time `json:"time"`
	Machine string    `json:"machine"`          // the server's name for this machine
	Next    int       `json:"next"`             // seconds until the next check-in, about
	Head    []byte    `json:"head,omitempty"`   // the signed head of the catalog, base64
	Notice  []byte    `json:"notice,omitempty"` // the signed notice, base64

	// Job is an update that waits for this machine or that its service carries out, or an action that waits. An update
	// is repeated until its phase is PhaseSwitch or it is over, an action until the service reports it. A service gets
	// only what its features name.
	Job *Spec `json:"job,omitempty"`
	// Cancelled says that the job of CheckIn.Job is over for the server: the service stops it. ActionOver says the same
	// of CheckIn.Action.
	Cancelled  bool `json:"cancelled,omitempty"`
	ActionOver bool `json:"actionOver,omitempty"`
}

// CheckIn checks in. The client needs no Hello, and its TLS configuration the machine's key.
func (c *Client) CheckIn(ctx context.Context, in CheckIn) (CheckedIn, error) {
	var out CheckedIn
	body, err := json.Marshal(in.Bounded())
	if err == nil {
		err = c.do(ctx, "POST", c.base+CheckInPath, "", body, &out)
	}
	if err != nil {
		return CheckedIn{}, fmt.Errorf("checking in: %w", err)
	}
	return out, nil
}
