package api

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/setting"
)

// Settings is what a machine would get, as operators see it: without secrets.
type Settings struct {
	Machine string          `json:"machine"`           // its name
	Image   string          `json:"image,omitempty"`   // whose settings are among them; "" for none
	Values  []setting.Value `json:"values"`            // sorted by place
	Secrets []string        `json:"secrets,omitempty"` // places; the machine has to prove itself
	Proved  bool            `json:"proved,omitempty"`  // an operator approved a key of it
	Changed time.Time       `json:"changed,omitzero"`  // when its own settings were changed; zero for none

	// Public is what the values come to, without secrets; nil where there are mistakes.
	Public *setting.Settings `json:"public,omitempty"`

	// Mistakes keep it from getting any.
	Mistakes []job.Mistake `json:"mistakes,omitempty"`
}

// SettingsChange changes the own settings of a machine.
type SettingsChange struct {
	Clear []string `json:"clear,omitempty"` // keys of the highest level that are deleted first, such as "network"
	// Settings are merged into what is left, see setting.Document.With.
	Settings setting.Document `json:"settings" required:"false"`
}

// ManySettings are the own settings of several machines, by their keys.
type ManySettings struct {
	Machines map[string]json.RawMessage `json:"machines"` // a setting.Document each
}

// maxMany is how many machines one request can give settings.
const maxMany = 10000

func (h *Handler) showSettings(ctx context.Context, in *key) (answer[Settings], error) {
	return h.settingsOf(ctx, in.Key)
}

// settingsOf are the settings of the machine that key names, as operators see them.
func (h *Handler) settingsOf(ctx context.Context, key string) (as answer[Settings], err error) {
	d, err := h.o.Fleet.Declared(ctx, key)
	if err != nil {
		return as, err
	}
	m, image, err := h.present(ctx, d, d.Settings)
	if err != nil {
		return as, err
	}
	out := Settings{Machine: d.Machine.Name, Image: image, Values: m.Values(), Proved: d.Proved, Changed: d.Changed}
	if out.Values == nil {
		out.Values = []setting.Value{}
	}
	s, err := m.Resolve(expected(d.Machine))
	if err != nil {
		out.Mistakes = mistakes("", m, err)
		return answer[Settings]{tag: tagOf(d), value: out}, nil
	}
	public := s.Public()
	out.Secrets, out.Public = s.Secrets(), &public
	for i := range out.Values {
		if out.Values[i].Place == "hostname" {
			out.Values[i].Text = s.Hostname
		}
	}
	return answer[Settings]{tag: tagOf(d), value: out}, nil
}

// present is what the machine gets with the image of its install, if it has one, and own as its own settings.
func (h *Handler) present(ctx context.Context, d fleet.Declared,
	own setting.Document) (m setting.Merged, image string, err error) {
	ruled, err := ruledFor(d, d.Job)
	if err != nil {
		return m, "", err
	}
	if j := d.Job; j != nil && j.Spec.Kind != job.Relay {
		of := j.Spec.Image
		if now := d.Machine.Deployed; now != nil && (j.Spec.Kind == job.Erase ||
			j.Spec.Kind == job.Update && j.State == job.Failed) {
			of = job.Image{Ref: now.Image}
		}
		m, err = h.merged(ctx, of, ruled, d.Group, own)
		if err == nil || !errors.Is(err, ErrNoImage) {
			return m, of.Ref, err
		}
	}
	m, err = h.merged(ctx, job.Image{}, ruled, d.Group, own)
	return m, "", err
}

func (h *Handler) putSettings(ctx context.Context, in *matched[settingsDocument]) (out answer[Settings], err error) {
	if _, err := h.setSettings(ctx, map[string]json.RawMessage{in.Key: in.body.RawMessage}, in.IfMatch); err != nil {
		return out, err
	}
	return h.settingsOf(ctx, in.Key)
}

func (h *Handler) putManySettings(ctx context.Context, in *sent[ManySettings]) ([]string, error) {
	if n := len(in.body.Machines); n == 0 || n > maxMany {
		return nil, job.NewProblem(http.StatusBadRequest, "settings are set for 1 to 10000 machines at once")
	}
	all, err := h.setSettings(ctx, in.body.Machines, "")
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, m := range all {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	return names, nil
}

// setSettings replaces the own settings of machines, of all or of none.
func (h *Handler) setSettings(ctx context.Context, in map[string]json.RawMessage,
	ifMatch string) ([]fleet.Machine, error) {
	return h.alter(ctx, slices.Sorted(maps.Keys(in)), func(key string, d fleet.Declared) (setting.Document, error) {
		if err := unchanged(d, ifMatch); err != nil {
			return setting.Document{}, err
		}
		return setting.Decode(d.Settings.From, in[key])
	})
}

// settingsChange is a SettingsChange as it is read.
type settingsChange struct {
	Clear    []string        `json:"clear"`
	Settings json.RawMessage `json:"settings"`
}

func (h *Handler) changeSettings(ctx context.Context, of *matched[settingsChange]) (out answer[Settings], err error) {
	in := of.body
	if in.Settings == nil {
		in.Settings = json.RawMessage("{}")
	}
	clear := map[string]any{}
	for _, k := range in.Clear {
		clear[k] = nil
	}
	_, err = h.alter(ctx, []string{of.Key}, func(_ string, d fleet.Declared) (setting.Document, error) {
		if err := unchanged(d, of.IfMatch); err != nil {
			return setting.Document{}, err
		}
		later, err := setting.Decode(d.Settings.From, in.Settings)
		if _, unknown := setting.New(d.Settings.From, clear); unknown != nil {
			err = errors.Join(unknown, err)
		}
		return d.Settings.Without(in.Clear...).With(later), err
	})
	if err != nil {
		return out, err
	}
	return h.settingsOf(ctx, of.Key)
}

// errMistakes stands for mistakes that alter gathers.
var errMistakes = errors.New("settings have mistakes")

// alter changes the own settings of machines if what each of them then gets has no mistake. The error has all of them.
func (h *Handler) alter(ctx context.Context, keys []string,
	change func(key string, d fleet.Declared) (setting.Document, error)) ([]fleet.Machine, error) {
	var wrong []job.Mistake
	all, err := h.o.Fleet.SetSettings(ctx, keys, func(key string,
		d fleet.Declared) (own setting.Document, err error) {
		var m setting.Merged
		if own, err = change(key, d); err == nil {
			if m, _, err = h.present(ctx, d, own); err == nil {
				_, err = m.Resolve(expected(d.Machine))
			}
		}
		if errors.Is(err, setting.ErrInvalid) {
			wrong = append(wrong, mistakes(job.Printable(key), m, err)...)
			err = errMistakes
		}
		return own, err
	})
	if err == nil {
		h.o.Log.Info("settings changed", "machines", len(all), "first", all[0].Name, "remote", callerOf(ctx).remote)
		return all, nil
	}
	var each fleet.KeyErrors
	if !errors.As(err, &each) {
		return nil, err
	}
	for _, one := range each {
		is := func(target error) bool { return errors.Is(one.Err, target) }
		switch {
		case is(errMistakes):
		case len(each) == 1, !is(fleet.ErrUnknown) && !is(fleet.ErrAmbiguous) && !is(fleet.ErrInvalid):
			return nil, one.Err
		default:
			wrong = append(wrong, job.Mistake{Machine: job.Printable(one.Key), Text: one.Err.Error()})
		}
	}
	p := job.NewProblem(http.StatusBadRequest, "the settings have mistakes, and nothing was changed")
	p.Mistakes = wrong[:min(len(wrong), job.MaxMistakes)]
	return nil, p
}

func (h *Handler) clearSettings(ctx context.Context, in *clearSettings) error {
	var may func(fleet.Declared) error
	if in.IfMatch != "" {
		may = func(d fleet.Declared) error { return unchanged(d, in.IfMatch) }
	}
	m, err := h.o.Fleet.ClearSettings(ctx, in.Key, may)
	if err != nil {
		return err
	}
	h.o.Log.Info("settings deleted", "machine", m.Name, "remote", callerOf(ctx).remote)
	return nil
}
