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
	Settings setting.Document `json:"settings"`
}

// ManySettings are the own settings of several machines, by their keys.
type ManySettings struct {
	Machines map[string]json.RawMessage `json:"machines"` // a setting.Document each
}

// maxMany is how many machines one request can give settings.
const maxMany = 10000

func (h *Handler) showSettings(w http.ResponseWriter, r *http.Request, _ fleet.Proof) error {
	return h.replySettings(w, r, r.PathValue("key"))
}

// replySettings answers with the settings of the machine that key names.
func (h *Handler) replySettings(w http.ResponseWriter, r *http.Request, key string) error {
	d, err := h.o.Fleet.Declared(r.Context(), key)
	if err != nil {
		return err
	}
	m, image, err := h.present(r.Context(), d, d.Settings)
	if err != nil {
		return err
	}
	out := Settings{Machine: d.Machine.Name, Image: image, Values: m.Values(), Proved: d.Proved, Changed: d.Changed}
	if out.Values == nil {
		out.Values = []setting.Value{}
	}
	s, err := m.Resolve(expected(d.Machine))
	if err != nil {
		out.Mistakes = mistakes("", m, err)
		return reply(w, http.StatusOK, out)
	}
	public := s.Public()
	out.Secrets, out.Public = s.Secrets(), &public
	for i := range out.Values {
		if out.Values[i].Place == "hostname" {
			out.Values[i].Text = s.Hostname
		}
	}
	return reply(w, http.StatusOK, out)
}

// present is what the machine gets with the image of its install, if it has one, and own as its own settings.
func (h *Handler) present(ctx context.Context, d fleet.Declared,
	own setting.Document) (m setting.Merged, image string, err error) {
	if j := d.Job; j != nil && j.Spec.Kind != job.Relay {
		of := j.Spec.Image
		if now := d.Machine.Deployed; now != nil && (j.Spec.Kind == job.Erase ||
			j.Spec.Kind == job.Update && j.State == job.Failed) {
			of = job.Image{Ref: now.Image}
		}
		m, err = h.merged(ctx, of, own)
		if err == nil || !errors.Is(err, ErrNoImage) {
			return m, of.Ref, err
		}
	}
	m, err = h.merged(ctx, job.Image{}, own)
	return m, "", err
}

func (h *Handler) putSettings(w http.ResponseWriter, r *http.Request, _ fleet.Proof) error {
	var in json.RawMessage
	if err := decode(w, r, true, &in); err != nil {
		return err
	}
	key := r.PathValue("key")
	if _, err := h.setSettings(r, map[string]json.RawMessage{key: in}); err != nil {
		return err
	}
	return h.replySettings(w, r, key)
}

func (h *Handler) putManySettings(w http.ResponseWriter, r *http.Request, _ fleet.Proof) error {
	var in ManySettings
	if err := decode(w, r, true, &in); err != nil {
		return err
	}
	if n := len(in.Machines); n == 0 || n > maxMany {
		return job.NewProblem(http.StatusBadRequest, "settings are set for 1 to 10000 machines at once")
	}
	all, err := h.setSettings(r, in.Machines)
	if err != nil {
		return err
	}
	names := []string{}
	for _, m := range all {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	return reply(w, http.StatusOK, names)
}

// setSettings replaces the own settings of machines, of all or of none.
func (h *Handler) setSettings(r *http.Request, in map[string]json.RawMessage) ([]fleet.Machine, error) {
	return h.alter(r, slices.Sorted(maps.Keys(in)), func(key string, d fleet.Declared) (setting.Document, error) {
		return setting.Decode(d.Settings.From, in[key])
	})
}

func (h *Handler) changeSettings(w http.ResponseWriter, r *http.Request, _ fleet.Proof) error {
	var in struct {
		Clear    []string        `json:"clear"`
		Settings json.RawMessage `json:"settings"`
	}
	if err := decode(w, r, true, &in); err != nil {
		return err
	}
	if in.Settings == nil {
		in.Settings = json.RawMessage("{}")
	}
	clear := map[string]any{}
	for _, k := range in.Clear {
		clear[k] = nil
	}
	key := r.PathValue("key")
	_, err := h.alter(r, []string{key}, func(_ string, d fleet.Declared) (setting.Document, error) {
		later, err := setting.Decode(d.Settings.From, in.Settings)
		if _, unknown := setting.New(d.Settings.From, clear); unknown != nil {
			err = errors.Join(unknown, err)
		}
		return d.Settings.Without(in.Clear...).With(later), err
	})
	if err != nil {
		return err
	}
	return h.replySettings(w, r, key)
}

// errMistakes stands for mistakes that alter gathers.
var errMistakes = errors.New("settings have mistakes")

// alter changes the own settings of machines if what each of them then gets has no mistake. The error has all of them.
func (h *Handler) alter(r *http.Request, keys []string,
	change func(key string, d fleet.Declared) (setting.Document, error)) ([]fleet.Machine, error) {
	var wrong []job.Mistake
	all, err := h.o.Fleet.SetSettings(r.Context(), keys, func(key string,
		d fleet.Declared) (own setting.Document, err error) {
		var m setting.Merged
		if own, err = change(key, d); err == nil {
			if m, _, err = h.present(r.Context(), d, own); err == nil {
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
		h.o.Log.Info("settings changed", "machines", len(all), "first", all[0].Name, "remote", r.RemoteAddr)
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

func (h *Handler) clearSettings(w http.ResponseWriter, r *http.Request, _ fleet.Proof) error {
	m, err := h.o.Fleet.ClearSettings(r.Context(), r.PathValue("key"))
	if err != nil {
		return err
	}
	h.o.Log.Info("settings deleted", "machine", m.Name, "remote", r.RemoteAddr)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
