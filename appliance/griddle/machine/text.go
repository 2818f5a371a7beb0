package machine

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"griddle/appliance/api"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// rowsOf writes one line for each machine to the table t. What machines say of themselves is made printable.
func rowsOf(t io.Writer, all []api.Machine) {
	for _, m := range all {
		image := "-"
		switch {
		case m.Job != nil && m.Status != "deployed":
			image = m.Job.Spec.Image.Ref
		case m.Deployed != nil:
			image = m.Deployed.Image
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", m.Name, status(m), first(m.Identity.MACs), or(hardware(m), "-"), image, seen(m.LastSeen)+claimed(m))
	}
}

// claimed marks a machine that no operator named.
func claimed(m api.Machine) string {
	if m.Claimed {
		return " *"
	}
	return ""
}

// status is the machine's, with how far an install is.
func status(m api.Machine) string {
	if m.Job == nil || m.Status != "installing" {
		text := m.Status
		if m.Refused != nil {
			text = strings.TrimPrefix(text+", refused: ", "refused, ") + job.Sentence(m.Refused.Why)
		}
		if len(m.Conflicts) > 0 {
			text += ", conflicts (see show)"
		}
		return text
	}
	if p := m.Job.Progress; p != nil && p.Total > 0 {
		return fmt.Sprintf("%s %d%%", job.Printable(string(m.Job.Phase)), p.Percent())
	}
	return or(job.Printable(string(m.Job.Phase)), m.Status)
}

func hardware(m api.Machine) string {
	return strings.TrimSpace(job.Printable(m.Identity.Vendor) + " " + job.Printable(m.Identity.Product))
}

func first(s []string) string {
	if len(s) == 0 {
		return "-"
	}
	return s[0]
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func seen(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// pageOf writes all that is known of a machine.
func pageOf(w io.Writer, m api.Machine) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "%s\t%s\n", name, value)
		}
	}
	line("name", m.Name)
	line("status", m.Status)
	for _, l := range m.LookAt {
		line("", "  "+job.Sentence(l))
	}
	if m.Claimed {
		line("claimed", "no operator named this machine; all of this is what it said, or a stranger in its name")
	}
	if r := m.Refused; r != nil {
		line("refused", fmt.Sprintf("it asked to boot %s and got no answer: %s", seen(r.Time), job.Sentence(r.Why)))
	}
	for _, c := range m.Conflicts {
		line("conflict", fmt.Sprintf("%s  %s", seen(c.Time), job.Sentence(c.What)))
	}
	if len(m.Conflicts) > 0 {
		line("", "  To settle it: `griddle machine merge` where two are one machine, `griddle machine delete` for what is false.")
	}
	line("uuid", m.Identity.UUID)
	line("serial", job.Printable(m.Identity.Serial))
	line("hardware", hardware(m))
	line("addresses", strings.Join(m.Identity.MACs, ", "))
	if v := m.Inventory; v != nil {
		inventoryLines(line, v)
	}
	line("last seen", seen(m.LastSeen))
	if d := m.Deployed; d != nil {
		line("deployed", fmt.Sprintf("%s as %s, kernel %s, since %s", d.Image, d.Report.Hostname, d.Report.Kernel, seen(d.Time)))
	}
	for _, j := range m.Jobs {
		line("job", fmt.Sprintf("%s  %s on %s, %s: %s", seen(j.Created), j.Spec.Image.Ref, j.Spec.Disk, j.State, or(job.Sentence(j.Message), "-")))
	}
	t.Flush()
}

func inventoryLines(line func(name, value string), v *job.Inventory) {
	line("processor", job.Printable(v.CPU))
	if v.Memory > 0 {
		line("memory", job.Bytes(v.Memory))
	}
	line("firmware", job.Printable(v.Firmware))
	for _, d := range v.Disks {
		line("disk", d.String())
		for _, h := range d.Holds() {
			line("", "  "+h)
		}
		if d.Blank() {
			line("", "  blank")
		}
	}
	if v.Cut {
		line("", "  There is more than is kept here; the machine's own screen shows all of it.")
	}
}

// logLine is a journal entry as one line: time, machine's boot or the appliance itself, phase, what happened.
func logLine(e fleet.Entry) string {
	who := "machine"
	if e.Event.Seq == 0 {
		who = "server"
	}
	what := job.Sentence(e.Event.Message)
	if e.Event.State != "" {
		what = strings.TrimSpace(fmt.Sprintf("[%s] %s", job.Printable(string(e.Event.State)), what))
	}
	if p := e.Event.Progress; p != nil && what == "" {
		what = fmt.Sprintf("%d%%  %s of %s  wire %s/s  disk %s/s", p.Percent(), job.Bytes(p.Done), job.Bytes(p.Total), job.Bytes(int64(p.WireBps)), job.Bytes(int64(p.DiskBps)))
		if p.Stalled {
			what += "  stalled"
		} else if p.Left > 0 {
			what += "  left " + p.Left.Round(time.Second).String()
		}
		if p.Ways != nil {
			what += "  (" + job.Sentence(p.Ways.String()) + ")"
		}
	}
	if disk := job.Printable(e.Event.Disk); disk != "" {
		what = strings.TrimSpace(what + " (disk " + disk + ")")
	}
	level := ""
	if e.Event.Level == job.Warning || e.Event.Level == job.Error {
		level = strings.ToUpper(string(e.Event.Level)) + " "
	}
	return fmt.Sprintf("%s  %-7s  %-9s  %s%s", e.Received.Local().Format("2006-01-02 15:04:05"), who, or(job.Printable(string(e.Event.Phase)), "-"), level, what)
}
