package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/setting"
)

// settings gives a boot the settings of its machine, or the code that an operator has to compare before it gets them.
func (h *Handler) settings(w http.ResponseWriter, r *http.Request, by fleet.Proof) error {
	a, err := h.o.Fleet.Asking(r.Context(), by)
	if err != nil {
		return err
	}
	ruled, err := ruledFor(a.Declared, &a.Own)
	if err != nil {
		return err
	}
	m, err := h.merged(r.Context(), a.Own.Spec.Image, ruled, a.Group, a.Settings)
	if err != nil {
		return err
	}
	who := setting.Machine{Name: a.Machine.Name, Serial: a.Machine.Identity.Serial, MAC: a.MAC}
	s, err := m.Resolve(who)
	if err != nil {
		return mistaken(http.StatusConflict, a.Machine.Name, m, err)
	}
	out, err := h.o.Fleet.Give(r.Context(), by, a.Own.Spec.ID, len(s.Secrets()) > 0)
	if err != nil {
		return err
	}
	if out.State == job.Ready {
		if out.Settings, err = json.Marshal(s); err != nil {
			return err
		}
		h.o.Log.Info("a boot gets its settings", "machine", a.Machine.Name, "job", a.Own.Spec.ID,
			"secrets", len(s.Secrets()), "remote", r.RemoteAddr)
	}
	return give(w, http.StatusOK, out)
}

// merged is what a machine gets with image: the settings of the image, of the site, of the rule that installs it, of
// its group, and its own, which are the strongest.
func (h *Handler) merged(ctx context.Context, image job.Image,
	ruled, group, own setting.Document) (m setting.Merged, err error) {
	var all []setting.Document
	if image.Ref != "" {
		d, err := h.ofImage(ctx, image)
		if err != nil {
			return m, err
		}
		all = append(all, d)
	}
	if h.o.Site != nil {
		all = append(all, h.o.Site())
	}
	return setting.Merge(append(all, ruled, group, own)...), nil
}

// ruledFor are the settings that the machine of d gets from a rule with its job j, which may be nil: those of the rule
// that made it if it is an install, otherwise those of the rule that made the system that the machine has.
func ruledFor(d fleet.Declared, j *fleet.Job) (setting.Document, error) {
	if j != nil && j.Spec.Kind == job.Install {
		return j.RuleSettings()
	}
	return d.Installed, nil
}

// lastImage is the image whose settings were read last: many machines get the same one.
type lastImage struct {
	sync.Mutex
	ref, document string
	settings      setting.Document
}

// ofImage is the settings of an image, which never change.
func (h *Handler) ofImage(ctx context.Context, image job.Image) (d setting.Document, err error) {
	h.last.Lock()
	defer h.last.Unlock()
	if h.last.ref == image.Ref && h.last.document == image.Document {
		return h.last.settings, nil
	}
	b, err := h.o.Images.Settings(ctx, image)
	if err != nil {
		return d, fmt.Errorf("reading the settings of %s: %w", image.Ref, err)
	}
	d.From = "image " + image.Ref
	if b != nil {
		if d, err = setting.Decode(d.From, b); err != nil {
			return d, mistaken(http.StatusConflict, "image "+image.Ref, setting.Merged{}, err)
		}
	}
	h.last.ref, h.last.document, h.last.settings = image.Ref, image.Document, d
	return d, nil
}

// hasSettings says whether the machine of an install has settings. Where they have mistakes it does: the agent asks for
// them before it writes to a disk, and gets the mistakes.
func (h *Handler) hasSettings(ctx context.Context, j fleet.Job) (bool, error) {
	d, err := h.o.Fleet.Declared(ctx, j.Machine)
	if err != nil {
		return false, err
	}
	ruled, err := ruledFor(d, &j)
	if err != nil {
		return false, err
	}
	m, err := h.merged(ctx, j.Spec.Image, ruled, d.Group, d.Settings)
	if err != nil {
		h.o.Log.Warn("the settings of a machine cannot be read", "machine", d.Machine.Name, "error", err)
		return true, nil
	}
	s, err := m.Resolve(expected(d.Machine))
	return err != nil || !s.Empty(), nil
}

// check refuses an order for a machine whose settings have mistakes, and returns the settings. A machine that is not
// known yet gets those of the image and the site.
func (h *Handler) check(ctx context.Context, key string, o fleet.Order) (setting.Settings, error) {
	return h.checkRuled(ctx, key, o, setting.Document{})
}

// checkRuled is check of an install that a rule with these settings orders.
func (h *Handler) checkRuled(ctx context.Context, key string, o fleet.Order,
	ruled setting.Document) (s setting.Settings, err error) {
	if o.Kind == job.Relay || o.Kind == job.Erase || o.Kind.IsAction() {
		return s, nil
	}
	d, err := h.o.Fleet.Declared(ctx, key)
	if errors.Is(err, fleet.ErrUnknown) || errors.Is(err, fleet.ErrAmbiguous) {
		// The order makes another machine, or is refused for that.
		d, err = fleet.Declared{Machine: fleet.Machine{Name: job.Printable(key)}}, nil
	}
	if err != nil {
		return s, err
	}
	if o.Hostname != "" {
		d.Machine.Name = o.Hostname
	}
	if o.Kind == job.Update {
		ruled = d.Installed
	}
	m, err := h.merged(ctx, o.Image, ruled, d.Group, d.Settings)
	if err != nil {
		return s, err
	}
	if s, err = m.Resolve(expected(d.Machine)); err != nil {
		return s, mistaken(http.StatusBadRequest, d.Machine.Name, m, err)
	}
	return s, nil
}

// expected is what settings of m are checked for. Of a machine that was not seen yet, serial number and address are not
// known.
func expected(m fleet.Machine) setting.Machine {
	out := setting.Machine{Name: m.Name, Serial: m.Identity.Serial}
	if len(m.Identity.MACs) > 0 {
		out.MAC = m.Identity.MACs[0]
	}
	if m.LastSeen.IsZero() {
		out.Serial = setting.AnyMachine.Serial
	}
	if out.MAC == "" {
		out.MAC = setting.AnyMachine.MAC
	}
	return out
}

// mistaken is a problem with every mistake in the settings of a machine, or of another source.
func mistaken(status int, of string, m setting.Merged, err error) *job.Problem {
	all := mistakes("", m, err)
	what := "mistakes"
	if len(all) == 1 {
		what = "a mistake"
	}
	p := job.NewProblem(status, fmt.Sprintf("the settings of %s have %s", of, what))
	p.Mistakes = all[:min(len(all), job.MaxMistakes)]
	return p
}

// mistakes lists what an error of package setting says, with the documents that have the values.
func mistakes(machine string, m setting.Merged, err error) (out []job.Mistake) {
	for _, one := range setting.Mistakes(err) {
		out = append(out, job.Mistake{Machine: machine, Place: one.Place, Text: one.Text, From: m.From(one.Place)})
	}
	if out == nil {
		out = []job.Mistake{{Machine: machine, Text: err.Error()}}
	}
	return out
}

// tooOld refuses a job to a boot whose agent cannot do what it needs.
func (h *Handler) tooOld(ctx context.Context, p fleet.Proof, id, needs string) error {
	if err := h.o.Fleet.TooOld(ctx, p, id, needs); err != nil {
		return err
	}
	return job.NewProblem(http.StatusUpgradeRequired, "the boot image of this machine is too old for "+needs+
		": make a new one with `make boot`, and copy it to the server's boot_dir")
}
