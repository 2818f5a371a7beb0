package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/setting"
)

// Label changes what operators wrote about a machine. What is left out stays as it is.
type Label struct {
	Key   string    `json:"key"`
	Name  *string   `json:"name,omitempty"`
	Group *string   `json:"group,omitempty"` // "" takes it out of its group
	Place *string   `json:"place,omitempty"`
	Note  *string   `json:"note,omitempty"`
	Tags  *[]string `json:"tags,omitempty"` // all that it has
	Add   []string  `json:"add,omitempty"`  // tags
	Drop  []string  `json:"drop,omitempty"` // tags
	MACs  []string  `json:"macs,omitempty"` // addresses that belong to it, in addition
}

// Labels change several machines, all or none.
type Labels struct {
	Machines []Label `json:"machines"`
	Unseen   bool    `json:"unseen,omitempty"` // a MAC address or a UUID that no machine has makes one
	Try      bool    `json:"try,omitempty"`    // change nothing, and say only what would be wrong
}

// Replace says which computer takes the place of a machine.
type Replace struct {
	With string `json:"with"` // its key
}

// Groups lists groups by name, without their settings.
type Groups struct {
	Groups []fleet.Group `json:"groups"`
}

// Group is a group with its settings, without secrets.
type Group struct {
	fleet.Group
	Settings []setting.Value `json:"settings"` // sorted by place
	Secrets  []string        `json:"secrets,omitempty"`
}

// GroupChange changes a group, or makes one. What is left out stays as it is.
type GroupChange struct {
	Role  *string `json:"role,omitempty"`
	Image *string `json:"image,omitempty"` // as a person types it
	Note  *string `json:"note,omitempty"`
	// Layout is a layout.Document, and Settings is a setting.Document that replaces the one of before. Clear has
	// "layout", "settings" or both, for none.
	Layout   json.RawMessage `json:"layout,omitempty"`
	Settings json.RawMessage `json:"settings,omitempty"`
	Clear    []string        `json:"clear,omitempty"`
}

// groupKey is the input of a call on one group.
type groupKey struct {
	Name string `path:"name" doc:"the name of a group"`
}

// changedGroup is groupKey with a change.
type changedGroup struct {
	Name string `path:"name" doc:"the name of a group"`
	sent[GroupChange]
}

func (h *Handler) label(ctx context.Context, in *sent[Labels]) ([]string, error) {
	if n := len(in.body.Machines); n == 0 || n > maxMany {
		return nil, job.NewProblem(http.StatusBadRequest, "1 to 10000 machines are changed at once")
	}
	var all []fleet.Change
	for _, l := range in.body.Machines {
		all = append(all, fleet.Change(l))
	}
	changed, err := h.o.Fleet.Relabel(ctx, all, in.body.Unseen, in.body.Try, h.fitting(ctx))
	if err != nil {
		return nil, each(err, "nothing was changed")
	}
	names := []string{}
	for _, m := range changed {
		names = append(names, m.Name)
	}
	if !in.body.Try {
		h.o.Log.Info("machines changed", "machines", len(names), "first", names[0], "remote", callerOf(ctx).remote)
	}
	slices.Sort(names)
	return names, nil
}

// each is a problem with what is wrong with each of several machines.
func each(err error, what string) error {
	var all fleet.KeyErrors
	if !errors.As(err, &all) {
		return err
	}
	if len(all) == 1 && !errors.Is(err, fleet.ErrFits) {
		return all[0].Err
	}
	p := job.NewProblem(http.StatusBadRequest, what)
	for _, one := range all {
		p.Mistakes = append(p.Mistakes, job.Mistake{Machine: job.Printable(one.Key),
			Text: job.Sentence(one.Err.Error())})
	}
	p.Mistakes = p.Mistakes[:min(len(p.Mistakes), job.MaxMistakes)]
	return p
}

// fitting says whether a machine can have the settings that it gets with its group.
func (h *Handler) fitting(ctx context.Context) func(fleet.Declared) error {
	return func(d fleet.Declared) error {
		m, _, err := h.present(ctx, d, d.Settings)
		if err != nil {
			return err
		}
		if _, err := m.Resolve(expected(d.Machine)); err != nil {
			return errors.Join(fleet.ErrFits, err)
		}
		return nil
	}
}

func (h *Handler) retire(ctx context.Context, in *key) (out Machine, err error) {
	m, err := h.o.Fleet.Retire(ctx, in.Key)
	if err != nil {
		return out, busy(err, in.Key)
	}
	h.o.Log.Info("machine retired", "machine", m.Name, "remote", callerOf(ctx).remote)
	return h.all(ctx, m.ID)
}

func (h *Handler) reuse(ctx context.Context, in *key) (out Machine, err error) {
	m, err := h.o.Fleet.Reuse(ctx, in.Key)
	if err != nil {
		return out, err
	}
	h.o.Log.Info("machine taken back into use", "machine", m.Name, "remote", callerOf(ctx).remote)
	return h.all(ctx, m.ID)
}

func (h *Handler) replace(ctx context.Context, in *keyed[Replace]) (out Machine, err error) {
	old, m, err := h.o.Fleet.Replace(ctx, in.Key, in.body.With)
	if err != nil {
		return out, busy(err, in.Key)
	}
	h.o.Log.Info("machine replaced", "machine", m.Name, "old", old.Name, "remote", callerOf(ctx).remote)
	return h.all(ctx, m.ID)
}

func (h *Handler) groups(ctx context.Context, _ *struct{}) (out Groups, err error) {
	all, err := h.o.Fleet.Groups(ctx)
	return Groups{append([]fleet.Group{}, all...)}, err
}

func (h *Handler) group(ctx context.Context, in *groupKey) (Group, error) {
	g, err := h.o.Fleet.Group(ctx, in.Name)
	return showGroup(g), err
}

func showGroup(g fleet.Group) Group {
	m := setting.Merge(g.Settings)
	out := Group{Group: g, Settings: append([]setting.Value{}, m.Values()...)}
	if s, err := m.Resolve(setting.AnyMachine); err == nil {
		out.Secrets = s.Secrets()
	}
	return out
}

func (h *Handler) makeGroup(ctx context.Context, in *changedGroup) (Group, error) {
	return h.alterGroup(ctx, in, true)
}

func (h *Handler) changeGroup(ctx context.Context, in *changedGroup) (Group, error) {
	return h.alterGroup(ctx, in, false)
}

func (h *Handler) alterGroup(ctx context.Context, in *changedGroup, create bool) (out Group, err error) {
	c := in.body
	if c.Image != nil && *c.Image != "" {
		if _, err := h.o.Images.Plan(ctx, *c.Image); err != nil {
			return out, err
		}
	}
	g, err := h.o.Fleet.ChangeGroup(ctx, in.Name, create, func(g *fleet.Group) error {
		for _, s := range []struct{ have, want *string }{{&g.Role, c.Role}, {&g.Image, c.Image}, {&g.Note, c.Note}} {
			if s.want != nil {
				*s.have = *s.want
			}
		}
		for _, what := range c.Clear {
			switch what {
			case "layout":
				g.Layout = nil
			case "settings":
				g.Settings = setting.Document{From: g.Settings.From}
			default:
				return job.NewProblem(http.StatusBadRequest, "clear can have layout and settings, and not "+
					job.Printable(what))
			}
		}
		if c.Layout != nil {
			g.Layout = c.Layout
		}
		if c.Settings == nil {
			return nil
		}
		d, err := setting.Decode(g.Settings.From, c.Settings)
		if err == nil {
			_, err = setting.Merge(d).Resolve(setting.PartOfMachine)
		}
		if err != nil {
			return mistaken(http.StatusBadRequest, "the group "+in.Name, setting.Merge(d), err)
		}
		g.Settings = d
		return nil
	}, h.fitting(ctx))
	if err != nil {
		return out, each(err, "the settings of the group do not fit its machines, and nothing was changed")
	}
	h.o.Log.Info("group changed", "group", g.Name, "remote", callerOf(ctx).remote)
	return showGroup(g), nil
}

func (h *Handler) deleteGroup(ctx context.Context, in *groupKey) error {
	if err := h.o.Fleet.DeleteGroup(ctx, in.Name); err != nil {
		return err
	}
	h.o.Log.Info("group deleted", "group", job.Printable(in.Name), "remote", callerOf(ctx).remote)
	return nil
}
