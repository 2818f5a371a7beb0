package plan

import (
	"fmt"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// Refusal is one reason why a layout does not fit a machine. Errors of Make wrap one for each reason that a disk gives.
type Refusal struct {
	Disk string // ID in the layout
	Name string // the disk, for people
	Part string // ID of the partition in the layout; "" if the reason is one of the whole disk
	Text string // what is in the way
	Hint string // what the layout could say instead; "" if that would not help
}

// Error is "disk ID (NAME): partition ID: TEXT; HINT".
func (r Refusal) Error() string {
	text := r.Text
	if r.Part != "" {
		text = fmt.Sprintf("partition %s: %s", r.Part, text)
	}
	if r.Hint != "" {
		text += "; " + r.Hint
	}
	return fmt.Sprintf("disk %s (%s): %s", r.Disk, r.Name, text)
}

// Refusals are all that err wraps, for programs whose users write no layout and need no hint. There may be none: a
// layout with mistakes, and a disk that is missing, are errors of another kind.
func Refusals(err error) (out []Refusal) {
	if r, is := err.(Refusal); is { //nolint:errorlint // it is taken apart here
		return []Refusal{r}
	}
	switch err := err.(type) { //nolint:errorlint // the same
	case interface{ Unwrap() error }:
		return Refusals(err.Unwrap())
	case interface{ Unwrap() []error }:
		for _, e := range err.Unwrap() {
			out = append(out, Refusals(e)...)
		}
	}
	return out
}

// refuse refuses because of the whole disk.
func (t *target) refuse(format string, args ...any) { t.add("", "", format, args...) }

// refusePart refuses because of an entry of the layout.
func (t *target) refusePart(e layout.Partition, format string, args ...any) {
	t.add(e.ID, "", format, args...)
}

// add refuses with a hint.
func (t *target) add(part, hint, format string, args ...any) {
	t.refusals = append(t.refusals, Refusal{Disk: t.want.ID, Name: t.have.String(), Part: part, Hint: hint,
		Text: fmt.Sprintf(format, args...)})
}

// apart writes two sizes for people, in bytes too where they would look the same.
func apart(a, b int64) (string, string) {
	first, second := job.Bytes(a), job.Bytes(b)
	if first == second {
		return fmt.Sprintf("%s (%d bytes)", first, a), fmt.Sprintf("%s (%d bytes)", second, b)
	}
	return first, second
}
