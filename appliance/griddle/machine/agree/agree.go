// Package agree shows what a layout would do to the disks of machines, and finds out whether an operator agrees.
//
// Call Gather, which has the server make the plan of each machine, then All.Text and All.Ask. What an operator agrees
// to is the hash of these plans: that of the plan if one machine is named, otherwise the SHA-256 of the line "griddle
// plans 1" and of one line "NAME HASH" for each machine that has a plan, sorted by their names.
package agree

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/appliance/layout/plan"
)

// One is a machine that a command names, and the plan for it.
type One struct {
	Asked string `json:"asked"` // as the command names it
	api.Planned
	Error string `json:"error,omitempty"` // why the server made no plan

	Err error `json:"-"` // Error
}

// All are the machines of a command.
type All struct {
	Hash     string `json:"hash,omitempty"` // of all plans; "" if there are none
	Machines []One  `json:"machines"`       // in the order of the command
}

// Gather has the server make the plan of each machine. What is wrong with one machine is its Error; what would be wrong
// with each of them is the error. With unknown, it is not wrong if the server does not know a machine: an order by its
// address makes it known.
func Gather(ctx context.Context, client *api.Client, keys []string, in api.PlanLayout, unknown bool) (All, error) {
	var all All
	names := map[string]string{}
	for _, key := range keys {
		one := One{Asked: job.Printable(key)}
		got, err := client.Plan(ctx, key, in)
		if err == nil && got.Plan != nil {
			err = got.Plan.Verify()
		}
		var p *job.Problem
		switch {
		case errors.As(err, &p) && p.Status == http.StatusNotFound && unknown && address(key):
		case errors.As(err, &p) && (p.Status == http.StatusNotFound || p.Status == http.StatusConflict):
			one.Err = err
		case err != nil:
			return All{}, err
		case names[got.Machine] != "":
			one.Err = fmt.Errorf("it is the machine that %s names too", names[got.Machine])
		default:
			names[got.Machine] = one.Asked
			one.Planned = got
		}
		if one.Err != nil {
			one.Error = job.Sentence(one.Err.Error())
		}
		all.Machines = append(all.Machines, one)
	}
	all.Hash = hash(all.Machines)
	return all, nil
}

// address says whether an order for this key makes a machine that the server does not know.
func address(key string) bool {
	_, is := job.NormalMAC(key)
	return is || job.NormalUUID(key) != ""
}

func hash(all []One) string {
	var lines []string
	for _, one := range all {
		switch {
		case one.Plan == nil:
		case len(all) == 1:
			return one.Plan.Hash
		default:
			lines = append(lines, one.Machine+" "+one.Plan.Hash+"\n")
		}
	}
	if lines == nil {
		return ""
	}
	slices.Sort(lines)
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("griddle plans 1\n"+strings.Join(lines, ""))))
}

// Stops is why the machine can get no job by the layout, nil if it can.
func (o One) Stops() error {
	if o.Refused != "" {
		return errors.New(o.Refused)
	}
	return o.Err
}

// Err is why some of the machines have no plan.
func (a All) Err() error {
	var all []error
	for _, one := range a.Machines {
		if err := one.Stops(); err != nil {
			all = append(all, fmt.Errorf("planning for %s: %w", one.Name(), err))
		}
	}
	return errors.Join(all...)
}

// loses says whether the machine loses something, or has a filesystem made smaller.
func (o One) loses() bool { return o.Plan != nil && len(o.Plan.Losses)+len(o.Plan.Shrinks) > 0 }

// Name is that of the machine, or what the command calls it if the server does not know it.
func (o One) Name() string {
	if o.Machine != "" {
		return job.Printable(o.Machine)
	}
	return o.Asked
}

// Text writes the plan of one machine for a terminal of so many columns, and of several ones what each of them loses.
func (a All) Text(w io.Writer, columns int) error {
	var b strings.Builder
	for i, one := range a.Machines {
		if len(a.Machines) > 1 && i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "%s\n", one.Name())
		switch {
		case one.Err != nil:
			row(&b, "error", job.Sentence(one.Err.Error()))
		case one.Refused != "":
			for i, line := range strings.Split(one.Refused, "\n") {
				row(&b, map[bool]string{true: "refused"}[i == 0], job.Sentence(line))
			}
		case one.Plan == nil:
			why := "the server does not know the disks of this machine yet"
			if one.Stale {
				why = "an install of this machine has finished after it reported its disks, so that they have changed"
			}
			row(&b, "note", why+"; at its next boot the machine makes the plan, and carries it out only if nothing is "+
				"lost and nothing becomes smaller")
		case len(a.Machines) == 1:
			b.WriteString(one.Plan.Text(columns))
		default:
			b.WriteString(summary(*one.Plan))
		}
		if one.Begun {
			row(&b, "note", fmt.Sprintf("an install began to divide these disks and did not finish; `griddle machine "+
				"resume %s` completes it", one.Name()))
		}
		if one.Stale && one.Plan != nil { // an older server makes the plan of the disks before the install
			row(&b, "note", "an install of this machine has finished after it reported these disks, so that they have "+
				"changed; it reports them at its next boot from the network")
		} else if !one.Stale && !one.Since.IsZero() && one.Err == nil {
			row(&b, "reported", "like this since "+one.Since.Local().Format(time.DateTime))
		}
	}
	if a.Hash != "" && len(a.Machines) > 1 {
		fmt.Fprintf(&b, "\nplans    %s\n", a.Hash)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// summary is what a plan does, without its steps and what stays.
func summary(p plan.Plan) string {
	var b strings.Builder
	for _, d := range p.Disks {
		row(&b, "disk", d.ID+": "+job.Disk{Path: d.Path, Size: d.Size, Serial: d.Serial, Model: d.Model}.String())
	}
	for _, line := range p.Losses {
		row(&b, "LOST", line)
	}
	for _, line := range p.Shrinks {
		row(&b, "smaller", line)
	}
	if len(p.Losses)+len(p.Shrinks) == 0 {
		row(&b, "", "nothing is lost, and nothing becomes smaller")
	}
	return b.String()
}

func row(b *strings.Builder, title, text string) { fmt.Fprintf(b, "  %-8s %s\n", title, text) }

// Ask returns nil if the operator agrees: the hash of all plans was given, or nothing is lost and nothing becomes
// smaller, or the operator types on the terminal what the question says. doing names the command in errors:
// "installing".
func (a All) Ask(e *cli.Env, given, doing string) error {
	var losing []string
	for _, one := range a.Machines {
		if one.loses() {
			losing = append(losing, one.Name())
		}
	}
	const look = "`griddle machine plan` with the same machines, image and layout shows the plan and its hash."
	switch {
	case given != "" && a.Hash == "":
		return cli.WithHint(fmt.Errorf("%s: no machine has a plan, but --plan agrees to one", doing), look)
	case given != "" && given != a.Hash:
		return cli.WithHint(fmt.Errorf("%s: the plan is now %s, and --plan agrees to %s", doing, a.Hash,
			job.Printable(given)), look)
	case given != "" || losing == nil:
		return nil
	}
	want, question := losing[0], "To agree to this plan, type the name of the machine, %s:"
	if len(a.Machines) > 1 {
		want = fmt.Sprint(len(losing))
		question = "Machines that lose data or have a filesystem made smaller: %s. To agree to their plans, type " +
			"this number:"
	}
	return cli.Typed(e, want, doing, fmt.Sprintf(question, want), "In a script, give --plan HASH. "+look)
}
