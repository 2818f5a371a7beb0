package machine

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/fleet/filter"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

// columns are those of the list. What machines say of themselves is made printable.
var columns = []cli.Column[api.Machine]{
	{Name: "name", Text: func(m api.Machine) string { return m.Name }},
	{Name: "status", Text: status, Raw: func(m api.Machine) string { return m.Status }, Tone: tone},
	{Name: "mac", Text: func(m api.Machine) string { return first(m.Identity.MACs) },
		Raw: func(m api.Machine) string { return strings.Join(m.Identity.MACs, " ") }},
	{Name: "hardware", Text: func(m api.Machine) string { return or(hardware(m), "-") }, Raw: hardware},
	{Name: "image", Text: func(m api.Machine) string { return or(imageOf(m), "-") }, Raw: imageOf},
	{Name: "seen", Text: func(m api.Machine) string { return seen(m.LastSeen) + claimed(m) },
		Raw: func(m api.Machine) string { return stamp(m.LastSeen) }},
	{Name: "state", Hidden: true, Text: func(m api.Machine) string { return or(string(m.State), "-") }},
	{Name: "since", Hidden: true, Text: func(m api.Machine) string { return seen(m.Since) },
		Raw: func(m api.Machine) string { return stamp(m.Since) }},
	{Name: "group", Hidden: true, Text: func(m api.Machine) string { return or(m.Group, "-") },
		Raw: func(m api.Machine) string { return m.Group }},
	{Name: "tags", Hidden: true, Text: func(m api.Machine) string { return or(strings.Join(m.Tags, " "), "-") },
		Raw: func(m api.Machine) string { return strings.Join(m.Tags, " ") }},
	{Name: "place", Hidden: true, Text: func(m api.Machine) string { return or(job.Sentence(m.Place), "-") },
		Raw: func(m api.Machine) string { return m.Place }},
	{Name: "note", Hidden: true, Text: func(m api.Machine) string { return or(job.Sentence(m.Note), "-") },
		Raw: func(m api.Machine) string { return m.Note }},
	{Name: "uuid", Hidden: true, Text: func(m api.Machine) string { return m.Identity.UUID }},
	{Name: "serial", Hidden: true, Text: func(m api.Machine) string { return job.Printable(m.Identity.Serial) }},
	{Name: "root", Hidden: true, Text: func(m api.Machine) string { return or(rootOf(m), "-") }, Raw: rootOf},
	{Name: "reset", Hidden: true, Text: func(m api.Machine) string { return or(resetOf(m), "-") }, Raw: resetOf},
	{Name: "agent", Hidden: true, Text: func(m api.Machine) string { return or(agentOf(m), "-") }, Raw: agentOf},
	{Name: "notice", Hidden: true, Text: noticeOf},
	{Name: "id", Hidden: true, Text: func(m api.Machine) string { return m.ID }},
}

// onServer says whether the server applies a filter: all but those by columns that only this command knows.
func onServer(text string) (bool, error) {
	name, _, _ := strings.Cut(text, "=")
	switch strings.ToLower(strings.TrimSuffix(name, "!")) {
	case "hardware", "seen", "notice":
		return false, nil
	}
	_, err := filter.Parse(text)
	return true, err
}

// agentOf is the version of the service on a machine, "" where none has checked in.
func agentOf(m api.Machine) string {
	if m.Service == nil {
		return ""
	}
	return job.Printable(m.Service.Agent)
}

// rootOf is the root that runs on a machine, as its service said last.
func rootOf(m api.Machine) string {
	if m.Service == nil {
		return ""
	}
	return job.Sentence(m.Service.Root)
}

// resetOf is what of a machine is fresh at each start, as its service said last.
func resetOf(m api.Machine) string { return job.Printable(string(m.Service.Reset())) }

// noticeOf is the number of the notice that a machine has.
func noticeOf(m api.Machine) string {
	if m.Service == nil {
		return "0"
	}
	return strconv.FormatInt(m.Service.Notice, 10)
}

func (m *machines) listCommand() *cobra.Command {
	list := cli.List[api.Machine]{Columns: columns, Elsewhere: onServer}
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "List machines",
		Long: "List machines, all or those that match filters. The server applies a filter of KEY=VALUES terms, of\n" +
			"which a machine must match all: * in a value stands for any characters, several values have commas\n" +
			"between them, != means none of them, and a word alone is text that the machine has somewhere. The keys\n" +
			"are name, state, status, group, role, tag, place, note, image, model, mac, uuid, serial, root, reset,\n" +
			"agent, id and text. Filters by hardware, seen and notice are applied here, to what the list shows.",
		Example: "  griddle machine list\n" +
			"  griddle machine list --filter status=failed -q\n" +
			"  griddle machine list --filter 'state=away,broken tag!=spare' --columns name,state,since,group\n" +
			"  griddle machine list --columns name,image,serial -o csv",
		Args: cobra.NoArgs,
		RunE: m.with(func(ctx context.Context, client *api.Client, _ []string) error {
			var all []api.Machine
			err := client.EachMatch(ctx, strings.Join(list.Sent(), " "), func(page api.Machines) error {
				if len(all) == 0 {
					m.notices(page.Notices)
				}
				all = append(all, page.Machines...)
				return nil
			})
			if err != nil {
				return err
			}
			if err := list.Print(m.e, all); err != nil {
				return err
			}
			for _, one := range list.Pick(all) {
				if one.Claimed && m.e.Notes() {
					fmt.Fprintln(m.e.Stderr, "* no operator named this machine: what is shown was received from "+
						"the network")
					break
				}
			}
			m.needs(list.Pick(all))
			return nil
		}),
	}
	list.Flags(c)
	return c
}

// notices are what an operator should know before anything else.
func (m *machines) notices(all []string) {
	for _, n := range all {
		if !m.e.Out.Quiet {
			fmt.Fprintf(m.e.Stderr, "! %s\n", job.Sentence(n))
		}
	}
}

// needs says which machines of a list cannot begin their updates, and what to do, those with the same reason together.
func (m *machines) needs(all []api.Machine) {
	names := map[string][]string{}
	var reasons []string
	for _, one := range all {
		if one.Needs == "" {
			continue
		}
		if names[one.Needs] == nil {
			reasons = append(reasons, one.Needs)
		}
		names[one.Needs] = append(names[one.Needs], one.Name)
	}
	for _, why := range reasons {
		if m.e.Notes() {
			fmt.Fprintf(m.e.Stderr, "! cannot begin the update of %s: %s\n", strings.Join(names[why], ", "),
				job.Sentence(why))
		}
	}
}

func imageOf(m api.Machine) string {
	switch {
	case m.Deployed != nil && (m.Status == "deployed" || m.Status == "away" || m.Job == nil || updates(m) ||
		m.Job.Spec.Kind == job.Erase || m.Job.Spec.Kind.IsAction()):
		return m.Deployed.Image
	case m.Job != nil:
		return m.Job.Spec.Image.Ref
	}
	return ""
}

// updates says whether the job that is shown of a machine is an update.
func updates(m api.Machine) bool { return m.Job != nil && m.Job.Spec.Kind == job.Update }

// claimed marks a machine that no operator named.
func claimed(m api.Machine) string {
	if m.Claimed {
		return " *"
	}
	return ""
}

// status is the machine's, with the progress of an install or an update.
func status(m api.Machine) string {
	if m.Job != nil && m.Status == "updating" {
		return strings.TrimSpace("update " + phase(m))
	}
	if m.Job != nil && m.Status == "erasing" {
		return strings.TrimSpace("erasing: " + phase(m))
	}
	if m.Job == nil || m.Status != "installing" {
		text := m.Status
		if m.Away && updates(m) && m.Status != "away" {
			text += ", away"
		}
		if m.Needs != "" {
			text += ", cannot begin (see show)"
		}
		if m.Refused != nil {
			text = strings.TrimPrefix(text+", refused: ", "refused, ") + job.Sentence(m.Refused.Why)
		}
		if len(m.Conflicts) > 0 {
			text += ", conflicts (see show)"
		}
		return text
	}
	return or(phase(m), m.Status)
}

// phase is that of the machine's job, with its progress.
func phase(m api.Machine) string {
	if p := m.Job.Progress; p != nil && p.Total > 0 {
		return fmt.Sprintf("%s %d%%", job.Printable(string(m.Job.Phase)), p.Percent())
	}
	return job.Printable(string(m.Job.Phase))
}

func tone(m api.Machine) cli.Tone {
	switch {
	case m.Status == "failed" || m.Status == "interrupted" || m.Status == "update failed" ||
		m.Status == "erase failed":
		return cli.Bad
	case m.Away || m.Needs != "" || m.Refused != nil ||
		len(m.Conflicts) > 0 || strings.HasPrefix(m.Status, "installed, "):
		return cli.Notice
	case m.Status == "deployed":
		return cli.Good
	}
	return cli.Plain
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

// stamp is a time for programs; empty for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
