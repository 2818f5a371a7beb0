package job

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// An update gives an installed machine another root, beside the one that runs. The machine gets the job in one of two
// ways: a boot from the network with its Welcome, or the service of the installed system with the answer to a check-in.
// Either one reports its work, a boot by events and the service by check-ins. PhaseSwitch ends that work: the machine
// then starts its disk, and tries the new root. The service of the root that comes up reports the end: done in a
// JobReport if it is the new root and proved itself, a Fell if it is the old one. A boot never reports done.

// What an agent and a service can do beyond the first version of the contract, in Hello.Features and CheckIn.Features.
const (
	FeatureUpdate = "update" // carries out a job of the kind Update; without it neither gets one
	FeatureKexec  = "kexec"  // starts roots by kexec, and reports what becomes of it in CheckIn.Kexec
	FeatureKernel = "kernel" // adds the kernel of Spec.Kernel to an image that has none
)

// UpdatePhases lists every phase of an update in order.
var UpdatePhases = []Phase{PhaseNetwork, PhaseCheck, PhaseReceive, PhaseVerify, PhaseBootable, PhaseSwitch}

// PhaseSwitch is the last phase of an update: the new root is written, and starts once. A machine in this phase boots
// its disk.
const PhaseSwitch Phase = "switch"

// NextStart is the message of a machine that has its new root. All that report it use this one: what a machine said
// already is not written into its journal again.
func NextStart(root string) string {
	return fmt.Sprintf("the next start of the machine takes %s", Printable(root))
}

// When says when a machine starts the new root of an update that it has received: "" or WhenNow at once, WhenReboot
// whenever it is restarted next, and a time (RFC 3339) then. A boot from the network starts it at once.
type When string

// The values of When that are not a time.
const (
	WhenNow    When = "now"
	WhenReboot When = "reboot"
)

// ParseWhen reads a When as an operator types it. A time is given in UTC, to the second.
func ParseWhen(s string) (When, error) {
	switch w := When(s); w {
	case "", WhenNow, WhenReboot:
		return w, nil
	}
	t, err := time.Parse(time.RFC3339, strings.ToUpper(s))
	if err != nil || t.Year() < 1970 {
		return "", fmt.Errorf("%q is not a time to start the new root: use now, reboot, or a time such as "+
			"2026-11-30T06:00:00+01:00", Printable(s))
	}
	return When(t.UTC().Format(time.RFC3339)), nil
}

// Time is the time of w, and whether w is one.
func (w When) Time() (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, string(w))
	return t, err == nil
}

// Paths of what a machine asks about images that its pool has. Both take the machine's key; PlanPath also the token of
// a boot.
const (
	PlanPath   = "/v1/agent/plan"   // POST PlanAsk -> Image
	UpdatePath = "/v1/agent/update" // POST UpdateAsk -> Spec
)

// PlanAsk asks for the cheapest way to the image of a job, an install or an update, from what the pool has. The answer
// is the same image; the first of its streams is full, or a delta from one of Have. Without streams the pool has it.
type PlanAsk struct {
	Job string `json:"job"` // Spec.ID of the machine's live job
	// Have are the received UUIDs of the images in the pool, in lower case with dashes. Those that the server does not
	// know count for nothing.
	Have   []string `json:"have"`
	Kernel bool     `json:"kernel,omitempty"` // the way to Spec.Kernel instead
}

// maxHave is the most images that a PlanAsk names; a pool has a handful.
const maxHave = 64

// Bounded returns a with at most 64 different valid UUIDs, in lower case.
func (a PlanAsk) Bounded() PlanAsk {
	a.Job = NormalUUID(a.Job)
	a.Have = distinct(a.Have, maxHave, func(s string) (string, bool) {
		id := NormalUUID(s)
		return id, id != ""
	})
	return a
}

// UpdateAsk asks for an update of the machine that asks, because a person or a timer on it wants one. The answer is a
// job, as an operator could have ordered it. If the machine has a live update of an operator, that is the answer. An
// answer without an ID says that the machine has the image already.
type UpdateAsk struct {
	// Image is a reference as a person types it; "" means the newest version of what the machine was installed with: of
	// the channel that was named, or else of the template.
	Image      string `json:"image,omitempty"`
	When       When   `json:"when,omitempty"`
	AllowOlder bool   `json:"allowOlder,omitempty"` // the image may be older than the present one
}

// Plan asks for the way from what the pool has to the image of a job.
func (c *Client) Plan(ctx context.Context, ask PlanAsk) (Image, error) {
	var out Image
	if err := c.post(ctx, c.base+PlanPath, c.token, ask.Bounded(), &out); err != nil {
		return Image{}, fmt.Errorf("asking for the way to an image: %w", err)
	}
	return out, nil
}

// Update asks for an update of this machine. The client needs no Hello, and its TLS configuration the machine's key.
func (c *Client) Update(ctx context.Context, ask UpdateAsk) (Spec, error) {
	var out Spec
	if err := c.post(ctx, c.base+UpdatePath, "", ask, &out); err != nil {
		return Spec{}, fmt.Errorf("asking for an update: %w", err)
	}
	return out, nil
}
