package powercut

import (
	"fmt"
	"slices"
	"strings"

	"griddle/appliance/api"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/pool/history"
)

// Before is a machine before its job.
type Before struct {
	Said
	Kind  Kind   // of the job
	Image string // of its root
	New   string // the name of the root that the job makes
	Next  string // the image of that one
}

// Saw is what was seen of the job before the power cut. It had been durable by then.
type Saw struct {
	Switched bool // the next start takes the new root
	Blessed  bool // the new root proved itself
}

// Judge compares what a machine says after a power cut with what it was before. It returns what must not be.
func (b Before) Judge(now Said, saw Saw) []string {
	if b.Kind == First {
		return b.first(now)
	}
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for _, name := range data {
		if now.Data[name] != b.Data[name] {
			say("%s differs: %s, before the power cut %s", name, now.Data[name], b.Data[name])
		}
	}
	if now.Failed != b.Failed {
		say("units failed: %s", now.Failed)
	}
	tail, lost := b.tail(now.History)
	if lost {
		say("the history lost events of before the power cut")
	}
	fates, odd := follow(tail)
	wrong = append(wrong, odd...)
	for root := range fates {
		if root != b.New && fates[root] != history.Deleted {
			say("the history says %q of %s, and nothing was done with it", fates[root], root)
		}
	}
	fate := fates[b.New]
	switch {
	case saw.Blessed && fate != history.Blessed:
		say("%s was blessed before the power cut, and the history says %q of it", b.New, fate)
	case saw.Switched && !slices.Contains(kinds(tail, b.New), history.Switched):
		say("the machine had switched to %s before the power cut, and the history does not say so", b.New)
	}
	gone := fate == "" || fate == history.Deleted
	if there := slices.Contains(now.Roots, b.New); there == gone {
		say("the history says %q of %s, and the roots are %q", fate, b.New, now.Roots)
	}
	return append(wrong, b.boots(now, fate)...)
}

// first judges what was installed on an empty disk: it has one root, which is good.
func (b Before) first(now Said) []string {
	var wrong []string
	good := bootenv.Env{Good: b.New}
	if now.Root != b.New || !slices.Equal(now.Roots, []string{b.New}) || now.Env != good {
		wrong = append(wrong, fmt.Sprintf("the machine runs %s of the roots %q, and grubenv has %+v; want %s alone",
			now.Root, now.Roots, now.Env, b.New))
	}
	if now.Failed != b.Failed {
		wrong = append(wrong, "units failed: "+now.Failed)
	}
	for _, e := range now.History {
		if e.Root != b.New || e.Kind == history.Failed || e.Kind == history.Deleted {
			wrong = append(wrong, fmt.Sprintf("the history says %q of %s", e.Kind, e.Root))
		}
	}
	return wrong
}

// boots compares what runs with the history and GRUB's environment.
func (b Before) boots(now Said, fate history.Kind) []string {
	old, next := bootenv.Env{Good: b.Root}, bootenv.Env{Good: b.New}
	tried := bootenv.Env{Good: b.Root, Candidate: b.New, Tries: 1}
	stays := []history.Kind{"", history.Made, history.Deleted, history.Failed}
	switch {
	case now.Root == b.New && fate == history.Blessed && now.Env == next:
	case now.Root == b.Root && slices.Contains(stays, fate) && now.Env == old:
	// The update went on after the start, and this is its switch.
	case now.Root == b.Root && fate == history.Switched && now.Env == tried:
	default:
		return []string{fmt.Sprintf("the machine runs %s, the history says %q of %s, and grubenv has %+v", now.Root,
			fate, b.New, now.Env)}
	}
	return nil
}

// tail is what the history has more than before, and whether it has less.
func (b Before) tail(now []history.Event) (tail []history.Event, lost bool) {
	for i, e := range b.History {
		if i >= len(now) || !now[i].Time.Equal(e.Time) || now[i].Kind != e.Kind || now[i].Root != e.Root {
			return now[min(i, len(now)):], true
		}
	}
	return now[len(b.History):], false
}

func kinds(events []history.Event, root string) []history.Kind {
	var out []history.Kind
	for _, e := range events {
		if e.Root == root {
			out = append(out, e.Kind)
		}
	}
	return out
}

// after are the events that may follow an event of the same root; "" is for its first one.
var after = map[history.Kind][]history.Kind{
	"":               {history.Made},
	history.Made:     {history.Switched, history.Deleted},
	history.Switched: {history.Started, history.Failed},
	history.Started:  {history.Blessed, history.Failed},
	history.Blessed:  {history.Deleted},
	history.Failed:   {history.Deleted},
	history.Deleted:  {history.Made},
}

// follow returns what the events say of each root last, and which of them cannot follow the one before.
func follow(events []history.Event) (fates map[string]history.Kind, odd []string) {
	fates = map[string]history.Kind{}
	for _, e := range events {
		if before := fates[e.Root]; !slices.Contains(after[before], e.Kind) {
			odd = append(odd, fmt.Sprintf("the history says %q of %s after %q", e.Kind, e.Root, before))
		}
		fates[e.Root] = e.Kind
	}
	return fates, odd
}

// Known is what the server knows of a machine.
type Known struct {
	Machine api.Machine
	Journal []fleet.Entry
}

// Judge compares what the server knows with what the machine said last. The server may hear of it later.
func (k Known) Judge(b Before, now Said, id string) []string {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	m := k.Machine
	if m.Service == nil || m.Service.Boot != now.Boot || m.Service.Root != "@roots/"+now.Root {
		say("the server's last check-in is %+v, and %s runs in boot %s", m.Service, now.Root, now.Boot)
	}
	image := b.Image
	if now.Root == b.New {
		image = b.Next
	}
	if m.Deployed == nil || m.Deployed.Image != image {
		say("the server knows %+v to be deployed, and %s runs", m.Deployed, image)
	}
	fate, want := b.ended(now)
	i := slices.IndexFunc(m.Jobs, func(j fleet.Job) bool { return j.Spec.ID == id })
	if i < 0 {
		say("the server does not know the job any more")
	} else if !slices.Contains(want, m.Jobs[i].State) {
		say("the server says that the job is %s (%s), and the machine that the new root is %q", m.Jobs[i].State,
			m.Jobs[i].Message, fate)
	}
	return append(wrong, k.ends(id)...)
}

// ended is what the history says of the new root last, and the states that the server may know the job in. An update
// ends with the trial of its root, and an install before it.
func (b Before) ended(now Said) (fate history.Kind, states []job.State) {
	tail, _ := b.tail(now.History)
	for _, k := range kinds(tail, b.New) {
		if k != history.Deleted || fate != history.Failed { // a root that failed may be deleted at once
			fate = k
		}
	}
	switch {
	case b.Kind == First:
		return fate, []job.State{job.Done}
	case b.Kind == Reinstall && slices.Contains(kinds(tail, b.New), history.Switched):
		return fate, []job.State{job.Started, job.Done}
	case fate == history.Blessed:
		return fate, []job.State{job.Done}
	case fate == history.Failed:
		return fate, []job.State{job.Failed}
	}
	return fate, []job.State{job.Pending, job.Started}
}

// ends says where the server's journal has more than one end of a job. An install is done when it is on the disk, and
// the report of its system says so once more.
func (k Known) ends(id string) []string {
	var ends []string
	for _, e := range k.Journal {
		if s := e.Event.State; e.Event.Job == id && (s == job.Done || s == job.Failed || s == job.Cancelled) {
			ends = append(ends, fmt.Sprintf("%s in the phase %q", s, e.Event.Phase))
		}
	}
	if len(ends) < 2 || slices.Equal(ends, []string{`done in the phase "finish"`, `done in the phase ""`}) {
		return nil
	}
	return []string{fmt.Sprintf("the server's journal says that the job ended as %s", strings.Join(ends, ", "))}
}
