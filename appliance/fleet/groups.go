package fleet

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/setting"
)

// maxGroups is how many groups there can be.
const maxGroups = 1000

// Group is what an operator wants of several machines. A machine is in one group or in none.
type Group struct {
	Name   string          `json:"name"`
	Role   string          `json:"role,omitempty"`  // a word for what its machines do
	Image  string          `json:"image,omitempty"` // that they should have, as a person types it
	Layout json.RawMessage `json:"layout,omitempty"`
	Note   string          `json:"note,omitempty"`

	Created  time.Time        `json:"created"`
	Changed  time.Time        `json:"changed"`
	Machines int              `json:"machines"` // how many are in it
	Settings setting.Document `json:"-"`        // of Group alone; Empty for none
}

// CheckGroupName says what is wrong with a name of a group.
func CheckGroupName(name string) error {
	if !label.MatchString(name) || strings.Contains(name, ":") {
		return fmt.Errorf("%w name of a group %q: use 1 to 63 of a-z, 0-9, and, between them, . _ -", ErrInvalid,
			job.Printable(name))
	}
	return nil
}

func (g *Group) check() error {
	errs := []error{CheckGroupName(g.Name), checkLine("note", g.Note, MaxNote), checkLine("image", g.Image, 256)}
	if g.Role != "" && (!label.MatchString(g.Role) || strings.Contains(g.Role, ":")) {
		errs = append(errs, fmt.Errorf("%w role %q: use 1 to 63 of a-z, 0-9, and, between them, . _ -", ErrInvalid,
			job.Printable(g.Role)))
	}
	if g.Layout != nil {
		d, err := layout.Decode(g.Layout)
		if err != nil {
			errs = append(errs, fmt.Errorf("%w layout: %w", ErrInvalid, err))
		} else {
			g.Layout = json.RawMessage(encode(d)) // written again, as for an order
		}
	}
	return errors.Join(errs...)
}

// Groups lists the groups by name, without their settings.
func (f *Fleet) Groups(ctx context.Context) (out []Group, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		names, err := texts(ctx, tx, "SELECT name FROM groups ORDER BY name")
		for i := 0; err == nil && i < len(names); i++ {
			var g Group
			if g, err = groupOf(ctx, tx, names[i]); err == nil {
				out = append(out, g)
			}
		}
		return err
	})
	return out, err
}

// Group returns the group with its settings, or ErrNoGroup.
func (f *Fleet) Group(ctx context.Context, name string) (g Group, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		g, err = f.wholeGroup(ctx, tx, name)
		return err
	})
	return g, err
}

// groupOf returns a group without its settings.
func groupOf(ctx context.Context, tx *sql.Tx, name string) (g Group, err error) {
	var data string
	err = tx.QueryRowContext(ctx, "SELECT data, (SELECT count(*) FROM listing WHERE grp = ?1) FROM groups WHERE "+
		"name = ?1",
		name).Scan(&data, &g.Machines)
	if errors.Is(err, sql.ErrNoRows) {
		return g, fmt.Errorf("%w: %s", ErrNoGroup, job.Printable(name))
	}
	if err != nil {
		return g, err
	}
	n := g.Machines
	if err := json.Unmarshal([]byte(data), &g); err != nil {
		return g, fmt.Errorf("reading a stored group: %w", err)
	}
	g.Machines = n
	return g, nil
}

// wholeGroup returns a group with its settings.
func (f *Fleet) wholeGroup(ctx context.Context, tx *sql.Tx, name string) (Group, error) {
	g, err := groupOf(ctx, tx, name)
	if err != nil {
		return g, err
	}
	g.Settings = setting.Document{From: "group " + g.Name}
	var sealed []byte
	if err := tx.QueryRowContext(ctx, "SELECT sealed FROM groups WHERE name = ?", name).Scan(&sealed); err != nil ||
		sealed == nil {
		return g, err
	}
	b, err := f.unseal(sealed)
	if err == nil {
		g.Settings, err = setting.Decode(g.Settings.From, b)
	}
	if err != nil {
		return g, fmt.Errorf("opening the settings of the group %s: %w", g.Name, err)
	}
	return g, nil
}

// ChangeGroup lets change alter the group with this name, which it makes with create: then there must be none. fits
// says whether a machine of the group can have the settings that it gets then. If it cannot, the error is KeyErrors, by
// the names of the machines, and nothing is changed.
func (f *Fleet) ChangeGroup(ctx context.Context, name string, create bool, change func(*Group) error,
	fits func(Declared) error) (g Group, err error) {
	if err := CheckGroupName(name); err != nil {
		return g, err
	}
	err = f.change(ctx, func(tx *sql.Tx) error {
		now := f.o.Now().UTC()
		g, err = f.wholeGroup(ctx, tx, name)
		switch {
		case create && err == nil:
			return fmt.Errorf("%w: the group %s exists already", ErrInvalid, name)
		case create && errors.Is(err, ErrNoGroup):
			if err := roomForGroup(ctx, tx); err != nil {
				return err
			}
			g = Group{Name: name, Created: now, Settings: setting.Document{From: "group " + name}}
		case err != nil:
			return err
		}
		before := encode(g.Settings)
		if err := change(&g); err != nil {
			return err
		}
		g.Name, g.Changed = name, now
		if err := f.putGroup(ctx, tx, &g); err != nil {
			return err
		}
		return f.groupChanged(ctx, tx, g, encode(g.Settings) != before, fits)
	})
	if err == nil {
		f.grown()
	}
	return g, err
}

func roomForGroup(ctx context.Context, tx *sql.Tx) error {
	var n int
	err := tx.QueryRowContext(ctx, "SELECT count(*) FROM groups").Scan(&n)
	if err == nil && n >= maxGroups {
		err = fmt.Errorf("%w: there are %d groups, which is the limit", ErrInvalid, n)
	}
	return err
}

// putGroup checks and writes a group.
func (f *Fleet) putGroup(ctx context.Context, tx *sql.Tx, g *Group) error {
	if err := g.check(); err != nil {
		return err
	}
	var sealed []byte
	if !g.Settings.Empty() {
		b, err := json.Marshal(g.Settings)
		switch {
		case err != nil:
			return err
		case len(b) > setting.MaxDocument:
			return fmt.Errorf("%w settings of the group %s: they have %d bytes, the limit is %d", ErrInvalid, g.Name,
				len(b), setting.MaxDocument)
		case f.o.Sealer == nil:
			return fmt.Errorf("%w: no key was given", ErrSealed)
		}
		if sealed, err = f.o.Sealer.Seal(b); err != nil {
			return fmt.Errorf("sealing the settings of the group %s: %w", g.Name, err)
		}
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO groups (name, data, sealed, changed) VALUES (?, ?, ?, ?) ON CONFLICT "+
		"(name) DO UPDATE SET data = excluded.data, sealed = excluded.sealed, changed = excluded.changed", g.Name,
		encode(g), sealed, g.Changed.UnixNano())
	return err
}

// groupChanged tells the machines of a group that it changed.
func (f *Fleet) groupChanged(ctx context.Context, tx *sql.Tx, g Group, settings bool, fits func(Declared) error) error {
	members, err := queryMachines(ctx, tx, "JOIN listing ON listing.machine = machines.id WHERE listing.grp = ? "+
		"ORDER BY "+
		"machines.name", g.Name)
	if err != nil {
		return err
	}
	var errs KeyErrors
	for _, m := range members {
		if err := mark(ctx, tx, m.ID); err != nil { // its role
			return err
		}
		if !settings {
			continue
		}
		if err := f.fits(ctx, tx, m, fits); errors.Is(err, ErrFits) {
			errs = append(errs, KeyError{m.Name, err})
			continue
		} else if err != nil {
			return err
		}
		if err := f.journal(ctx, tx, m.ID, "", job.Event{Time: f.o.Now().UTC(), Level: job.Info, Message: job.Sentence(
			"an operator changed the settings of the group " + g.Name + ", which this machine is in")}); err != nil {
			return err
		}
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}

// fits asks whether m can have the settings that it gets from its group.
func (f *Fleet) fits(ctx context.Context, tx *sql.Tx, m Machine, fits func(Declared) error) error {
	if m.Group == "" {
		return nil
	}
	d, err := f.declared(ctx, tx, m)
	if err != nil {
		return err
	}
	return fits(d)
}

// DeleteGroup deletes a group that no machine is in; ErrBusy if there is one.
func (f *Fleet) DeleteGroup(ctx context.Context, name string) error {
	return f.change(ctx, func(tx *sql.Tx) error {
		g, err := groupOf(ctx, tx, name)
		if err == nil && g.Machines > 0 {
			err = fmt.Errorf("%w: %d machines are in the group %s; take them out of it first, with "+
				"`griddle machine group --none`", ErrBusy, g.Machines, g.Name)
		}
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM groups WHERE name = ?", name)
		return err
	})
}
