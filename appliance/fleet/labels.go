package fleet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"griddle/appliance/job"
)

// Limits of what operators write about machines.
const (
	MaxTags  = 32   // of one machine
	MaxPlace = 128  // characters
	MaxNote  = 2000 // characters
)

// label is the form of tags, and of the names of groups and roles without its colon.
var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9._:-]{0,61}[a-z0-9])?$`)

func checkTag(s string) error {
	if label.MatchString(s) {
		return nil
	}
	return fmt.Errorf("%w tag %q: use 1 to 63 of a-z, 0-9, and, between them, . _ : -", ErrInvalid, job.Printable(s))
}

// checkLine refuses text that is not one line of at most limit characters that can be shown.
func checkLine(what, s string, limit int) error {
	switch {
	case !utf8.ValidString(s):
		return fmt.Errorf("%w %s: it is not UTF-8", ErrInvalid, what)
	case utf8.RuneCountInString(s) > limit:
		return fmt.Errorf("%w %s: it has more than %d characters", ErrInvalid, what, limit)
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || unicode.Is(unicode.Cf, r) }):
		return fmt.Errorf("%w %s: %q has characters that cannot be shown; write it in one line", ErrInvalid, what,
			job.Printable(s))
	case strings.TrimSpace(s) != s:
		return fmt.Errorf("%w %s: %q begins or ends with a space", ErrInvalid, what, job.Printable(s))
	}
	return nil
}

// Change is what an operator changes of a machine. What is nil or empty stays as it is.
type Change struct {
	Key string // names the machine

	Name  *string
	Group *string // "" takes it out of its group
	Place *string
	Note  *string
	Tags  *[]string // all that it has
	Add   []string  // tags
	Drop  []string  // tags
	MACs  []string  // addresses that belong to it, in addition
}

func (c Change) check() error {
	var errs []error
	tags := slices.Concat(c.Add, c.Drop)
	if c.Tags != nil {
		tags = append(tags, *c.Tags...)
	}
	for _, t := range tags {
		errs = append(errs, checkTag(t))
	}
	if c.Name != nil && !ValidHostname(*c.Name) {
		errs = append(errs, fmt.Errorf("%w name %q: use letters, digits and hyphens, at most 63 between dots",
			ErrInvalid,
			job.Printable(*c.Name)))
	}
	if c.Place != nil {
		errs = append(errs, checkLine("place", *c.Place, MaxPlace))
	}
	if c.Note != nil {
		errs = append(errs, checkLine("note", *c.Note, MaxNote))
	}
	for _, mac := range c.MACs {
		if _, ok := job.NormalMAC(mac); !ok {
			errs = append(errs, fmt.Errorf("%w MAC address %q", ErrInvalid, job.Printable(mac)))
		}
	}
	return errors.Join(errs...)
}

// Relabel makes the changes, each to the machine that its key names, which an operator has named then. With unseen, a
// MAC address or a UUID that no machine has makes one. fits says whether a machine can have the settings that it gets
// with another group. If one change fails, nothing is changed. The error is then KeyErrors, with those of all that
// fail. With try, nothing is changed in any case.
func (f *Fleet) Relabel(ctx context.Context, all []Change, unseen, try bool,
	fits func(Declared) error) (out []Machine, err error) {
	tried := errors.New("tried")
	err = f.change(ctx, func(tx *sql.Tx) error {
		var errs KeyErrors
		seen := map[string]string{}
		for _, c := range all {
			m, err := f.relabel(ctx, tx, c, unseen, fits)
			if err == nil && seen[m.ID] != "" {
				err = fmt.Errorf("%w: %s and %s are the same machine", ErrInvalid, job.Printable(seen[m.ID]),
					job.Printable(c.Key))
			}
			if err != nil {
				if !isOperators(err) {
					return err
				}
				errs = append(errs, KeyError{c.Key, err})
				continue
			}
			seen[m.ID] = c.Key
			out = append(out, m)
		}
		if len(errs) > 0 {
			return errs
		}
		if try {
			return tried
		}
		return nil
	})
	switch {
	case errors.Is(err, tried):
		return out, nil
	case err != nil:
		return nil, err
	}
	f.grown()
	return out, nil
}

// isOperators says whether an error is a mistake of an operator, and not one of the disk.
func isOperators(err error) bool {
	for _, e := range []error{ErrUnknown, ErrAmbiguous, ErrInvalid, ErrNoGroup, ErrFits, ErrBusy, ErrRetired} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (f *Fleet) relabel(ctx context.Context, tx *sql.Tx, c Change, unseen bool,
	fits func(Declared) error) (m Machine, err error) {
	if err := c.check(); err != nil {
		return m, err
	}
	if unseen {
		m, err = f.named(ctx, tx, c.Key)
	} else {
		m, err = byKey(ctx, tx, c.Key)
	}
	if err != nil {
		return m, err
	}
	before := m
	if c.Name != nil && *c.Name != m.Name {
		if err := takeName(ctx, tx, *c.Name, m.ID); err != nil {
			return m, err
		}
		m.Name = *c.Name
	}
	for _, s := range []struct{ have, want *string }{{&m.Group, c.Group}, {&m.Place, c.Place}, {&m.Note, c.Note}} {
		if s.want != nil {
			*s.have = *s.want
		}
	}
	if c.Tags != nil {
		m.Tags = *c.Tags
	}
	m.Tags = slices.DeleteFunc(slices.Concat(m.Tags, c.Add), func(t string) bool { return slices.Contains(c.Drop, t) })
	slices.Sort(m.Tags)
	if m.Tags = slices.Compact(m.Tags); len(m.Tags) > MaxTags {
		return m, fmt.Errorf("%w: %s would have %d tags, and the limit is %d", ErrInvalid, m.Name, len(m.Tags), MaxTags)
	}
	for _, mac := range c.MACs {
		mac, _ = job.NormalMAC(mac)
		if err := f.claims(ctx, tx, m, mac); err != nil {
			return m, err
		}
		if !m.has(mac) {
			m.Identity.MACs = append(slices.Clone(m.Identity.MACs), mac)
		}
	}
	if len(m.Identity.MACs) > maxMACs {
		return m, fmt.Errorf("%w: %s would have %d MAC addresses, and the limit is %d", ErrInvalid, m.Name,
			len(m.Identity.MACs), maxMACs)
	}
	if err := f.promote(ctx, tx, &m); err != nil {
		return m, err
	}
	for _, mac := range c.MACs {
		mac, _ = job.NormalMAC(mac)
		if err := makeFirm(ctx, tx, m.ID, mac); err != nil {
			return m, err
		}
	}
	if err := saveTags(ctx, tx, m); err != nil {
		return m, err
	}
	if m.Group != before.Group {
		if err := f.fits(ctx, tx, m, fits); err != nil {
			return m, err
		}
	}
	if said := differences(before, m); said != "" {
		err = f.journal(ctx, tx, m.ID, "", job.Event{Time: f.o.Now().UTC(), Level: job.Info,
			Message: job.Sentence("an operator changed this machine: " + said)})
	}
	return m, err
}

// claims refuses an address that belongs to another machine for certain.
func (f *Fleet) claims(ctx context.Context, tx *sql.Tx, m Machine, mac string) error {
	other, err := oneMachine(ctx, tx, "JOIN macs ON macs.machine = machines.id WHERE mac = ? AND macs.firm = 1 AND "+
		"machines.id <> ?", mac, m.ID)
	if errors.Is(err, ErrUnknown) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("%w: the address %s belongs to %s; if the two are one machine, `griddle machine merge` joins "+
			"them", ErrInvalid, mac, other.Name)
	}
	return err
}

// saveTags writes the tags of a machine where lists find them.
func saveTags(ctx context.Context, tx *sql.Tx, m Machine) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM tags WHERE machine = ?", m.ID); err != nil {
		return err
	}
	for _, t := range m.Tags {
		if _, err := tx.ExecContext(ctx, "INSERT INTO tags (machine, tag) VALUES (?, ?)", m.ID, t); err != nil {
			return err
		}
	}
	return nil
}

// differences says in a few words what differs from a machine to what it became.
func differences(from, to Machine) string {
	var all []string
	for _, d := range []struct{ what, from, to string }{
		{"name", from.Name, to.Name},
		{"group", from.Group, to.Group},
		{"tags", strings.Join(from.Tags, " "), strings.Join(to.Tags, " ")},
		{"place", from.Place, to.Place},
		{"note", from.Note, to.Note},
		{"addresses", strings.Join(from.Identity.MACs, " "), strings.Join(to.Identity.MACs, " ")},
	} {
		if d.from != d.to {
			all = append(all, fmt.Sprintf("%s %q instead of %q", d.what, d.to, d.from))
		}
	}
	return strings.Join(all, ", ")
}
