package machine

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/crypto/ssh"

	"griddle/appliance/api"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// pageOf writes all that is known of a machine.
func pageOf(w io.Writer, m api.Machine) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "%s\t%s\n", name, value)
		}
	}
	line("name", m.Name)
	line("status", m.Status)
	if m.State != "" {
		line("state", string(m.State)+" since "+seen(m.Since)+because(m.Why))
	}
	for _, l := range m.LookAt {
		line("", "  "+job.Sentence(l))
	}
	if m.Needs != "" {
		line("", "  It cannot begin its update: "+job.Sentence(m.Needs)+".")
	}
	if m.Claimed {
		line("claimed", "no operator named this machine; all of this was received from the network, from it or "+
			"from another machine")
	}
	if r := m.Refused; r != nil {
		line("refused", fmt.Sprintf("it asked to boot %s and got no answer: %s", seen(r.Time), job.Sentence(r.Why)))
	}
	for _, c := range m.Conflicts {
		line("conflict", fmt.Sprintf("%s  %s", seen(c.Time), job.Sentence(c.What)))
	}
	if len(m.Conflicts) > 0 {
		line("", "  To resolve it: `griddle machine merge` if both are the same machine, `griddle machine delete` "+
			"for a wrong one.")
	}
	for _, b := range m.Waiting {
		line("waiting", fmt.Sprintf("a boot at %s (%s, UUID %s), since %s", job.Printable(b.From),
			or(b.MAC, "no MAC address"), or(b.UUID, "unknown"), seen(b.Since)))
	}
	if len(m.Waiting) > 0 {
		// The code is not shown here: with it the operator proves that he sees the screen of this machine.
		line("", fmt.Sprintf("  Read the code on the machine's screen, then `griddle machine approve %s CODE`.",
			m.Name))
	}
	line("group", m.Group)
	line("tags", strings.Join(m.Tags, " "))
	line("place", job.Sentence(m.Place))
	line("note", job.Sentence(m.Note))
	line("uuid", m.Identity.UUID)
	line("serial", job.Printable(m.Identity.Serial))
	line("hardware", hardware(m))
	line("addresses", strings.Join(m.Identity.MACs, ", "))
	if v := m.Inventory; v != nil {
		inventoryLines(line, v)
	}
	if m.RecoveryKeys > 0 {
		line("recovery keys", fmt.Sprintf("%d for its encrypted disks; `griddle machine recovery-key %s` shows them",
			m.RecoveryKeys, m.Name))
	}
	line("last seen", seen(m.LastSeen))
	if d := m.Deployed; d != nil {
		line("deployed", fmt.Sprintf("%s as %s, kernel %s, since %s", d.Image, d.Report.Hostname, d.Report.Kernel,
			seen(d.Time)))
		line("reached at", strings.Join(d.Report.Addresses, ", "))
		for _, k := range hostKeys(d.Report) {
			line("host key", fmt.Sprintf("%s (%s)", ssh.FingerprintSHA256(k), k.Type()))
		}
	}
	if m.Away && m.Service != nil {
		line("away", fmt.Sprintf("since %s: its service has not checked in for more than three intervals",
			seen(m.Service.Time)))
	}
	if c := m.Service; c != nil {
		line("service", fmt.Sprintf("checked in %s from %s, agent %s, root %s", seen(c.Time), job.Printable(c.From),
			or(job.Printable(c.Agent), "unknown"), or(job.Sentence(c.Root), "unknown")))
		key := "a file"
		if c.Sealed {
			key = "sealed by its TPM"
		}
		line("", fmt.Sprintf("  Its key is %s. It has notice %d of this site.", key, c.Notice))
		if c.Trouble != "" {
			line("", "  It reports: "+job.Sentence(c.Trouble))
		}
		for _, r := range c.Roots {
			line("root", rootText(r))
		}
	}
	if f := m.Fell; f != nil {
		line("fell back", fmt.Sprintf("%s  %s did not prove itself: %s", seen(f.Time), job.Sentence(f.Root),
			or(job.Sentence(f.Reason), "no reason was reported")))
		for _, l := range f.Lines {
			line("", "  | "+job.Sentence(l))
		}
	}
	kexecLines(line, m)
	for _, j := range m.Jobs {
		what := installOf(j.Spec)
		if j.Spec.Kind == job.Update {
			what = "update to " + j.Spec.Image.Ref
		}
		if j.Spec.Kind == job.Erase {
			what = "erase disk " + job.Sentence(j.Spec.Erase)
		}
		if j.Spec.Kind.IsAction() {
			what = actionOf(j)
		}
		line("job", fmt.Sprintf("%s  %s, %s: %s", seen(j.Created), what, j.State, or(job.Sentence(j.Message), "-")))
		certificateLines(line, j.Certificate)
	}
	return t.Flush()
}

// kexecLines say what came of starts without the firmware.
func kexecLines(line func(name, value string), m api.Machine) {
	failed := job.Printable(m.KexecFailed)
	switch k := m.Kexec; {
	case k != nil && k.Failed:
		which := "the machine restarts"
		if hardware(m) != "" {
			which = "machines of its model restart"
		}
		line("kexec", fmt.Sprintf("%s  %s did not come up without the firmware: %s through it", seen(k.Time),
			job.Sentence(k.Root), which))
	case failed != "" && failed != m.Name:
		line("kexec", fmt.Sprintf("not used: it failed on %s, a machine of the same model", failed))
	case k != nil:
		line("kexec", fmt.Sprintf("%s  %s was started without the firmware", seen(k.Time), job.Sentence(k.Root)))
	}
	if failed != "" {
		line("", fmt.Sprintf("  To have it tried again, remove /persistent/griddle/kexec.json on %s.", failed))
	}
}

// rootText is a system of the pool, and what it is there for.
func rootText(r job.Root) string {
	var is []string
	for _, c := range []struct {
		is   bool
		what string
	}{{r.Runs, "runs"}, {r.Good, "proved itself"}, {r.Next && !r.Runs, "starts next"}} {
		if c.is {
			is = append(is, c.what)
		}
	}
	text := job.Sentence(r.Name)
	if image := job.Sentence(r.Image); image != "" && image != text {
		text += ", of image " + image
	}
	if reset := resetText(r.Reset); reset != "" {
		is = append(is, reset)
	}
	if len(is) > 0 {
		text += ": " + strings.Join(is, ", ")
	}
	return text
}

func inventoryLines(line func(name, value string), v *job.Inventory) {
	line("processor", job.Printable(v.CPU))
	if v.Memory > 0 {
		line("memory", job.Bytes(v.Memory))
	}
	line("firmware", job.Printable(v.Firmware))
	for _, n := range v.NICs {
		line("network", nicText(n))
		if at := n.Neighbour.String(); at != "" {
			line("", "  connected to "+at)
		}
	}
	for _, d := range v.Disks {
		line("disk", d.String())
		if is := d.Hardware(); is != "" {
			line("", "  "+is)
		}
		for _, w := range d.Warnings(v.Disks) {
			line("", "  warning: "+w)
		}
		for _, h := range d.Holds() {
			line("", "  "+h)
		}
		if d.Blank() {
			line("", "  blank")
		}
		for _, s := range d.Shrinkable() {
			line("", "  "+s)
		}
		if d.Path == v.FirstDrive {
			line("", "  first drive of the BIOS")
		}
	}
	if v.Cut {
		line("", "  This list is shortened; the machine's own screen shows all of it.")
	}
}

// nicText is a network interface in one line.
func nicText(n job.NIC) string {
	text := strings.TrimSpace(job.Printable(n.Name) + " " + job.Printable(n.MAC))
	if driver := job.Printable(n.Driver); driver != "" {
		text += ", driver " + driver
	}
	if address := job.Printable(n.Address); address != "" {
		text += ", " + address
	}
	if !n.Carrier {
		text += ", no link"
	}
	return text
}

// logLine is a journal entry as one line: time, machine's boot or the server itself, phase, what happened.
func logLine(e fleet.Entry) string {
	who := "machine"
	if e.Event.Seq == 0 && e.Boot == "" {
		who = "server"
	}
	what := job.Sentence(e.Event.Message)
	if e.Event.State != "" {
		what = strings.TrimSpace(fmt.Sprintf("[%s] %s", job.Printable(string(e.Event.State)), what))
	}
	if p := e.Event.Progress; p != nil && what == "" {
		what = fmt.Sprintf("%d%%  %s of %s  wire %s/s  disk %s/s", p.Percent(), job.Bytes(p.Done), job.Bytes(p.Total),
			job.Bytes(int64(p.WireBps)), job.Bytes(int64(p.DiskBps)))
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
	return fmt.Sprintf("%s  %-7s  %-9s  %s%s", e.Received.Local().Format("2006-01-02 15:04:05"), who,
		or(job.Printable(string(e.Event.Phase)), "-"), level, what)
}

// resetText says what is fresh at each start of a root, "" for nothing.
func resetText(r job.Reset) string {
	switch r {
	case "", job.ResetNo:
		return ""
	case job.ResetHome:
		return "fresh at each start, with /home"
	}
	return "fresh at each start"
}

// because is what brought a machine to its state.
func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}
