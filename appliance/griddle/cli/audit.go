package cli

import (
	"fmt"
	"slices"

	"griddle/appliance/job"
	"griddle/cloud/audit"
)

// auditColumns are those of a point. What a server says is made printable.
var auditColumns = []Column[audit.Point]{
	{Name: "result", Text: func(p audit.Point) string {
		switch {
		case p.OK:
			return "ok"
		case p.Note:
			return "note"
		}
		return "FAILED"
	}, Tone: func(p audit.Point) Tone {
		switch {
		case p.OK:
			return Good
		case p.Note:
			return Notice
		}
		return Bad
	}},
	{Name: "point", Text: func(p audit.Point) string { return p.Name }},
	{Name: "found", Text: func(p audit.Point) string { return job.Sentence(p.Seen) }},
}

// PrintAudit writes the points that an audit of a server or machine looked at, also where it ended early with err. The
// error is err, or says how many points are not as declared.
func PrintAudit(e *Env, name string, points []audit.Point, err error) error {
	if err != nil && len(points) == 0 {
		return err
	}
	list := List[audit.Point]{Columns: auditColumns}
	if printed := list.Print(e, points); printed != nil {
		return printed
	}
	if slices.ContainsFunc(points, func(p audit.Point) bool { return p.Note }) {
		e.Say("the settings of " + name + " do not ask for the points with \"note\"; ssh.secure: true asks for them")
	}
	failed := len(audit.Failed(points))
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d of %d points of %s are not as declared", failed, len(points), name)
	}
	return err
}
