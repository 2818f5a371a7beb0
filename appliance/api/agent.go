package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

func (h *Handler) hello(w http.ResponseWriter, r *http.Request, _ string) error {
	var in job.Hello
	if err := decode(w, r, false, &in); err != nil {
		return err
	}
	g, err := h.o.Fleet.Hello(r.Context(), in)
	if err != nil {
		return err
	}
	out := job.Welcome{Time: h.o.Now().UTC(), Machine: g.Machine.Name, Token: g.Token}
	what := "choose"
	if g.Job != nil {
		s := h.spec(*g.Job, g.Home)
		out.Job, what = &s, s.Image.Ref
	} else if out.Images, err = h.o.Images.Choices(r.Context()); err != nil {
		return fmt.Errorf("listing images for %s: %w", g.Machine.Name, err)
	}
	h.o.Log.Info("agent says hello", "machine", g.Machine.Name, "macs", g.Machine.Identity.MACs, "product", job.Printable(g.Machine.Identity.Product),
		"disks", len(g.Machine.Inventory.Disks), "boot", in.Boot, "agent", job.Printable(in.Agent), "image", what)
	return reply(w, http.StatusOK, out)
}

// spec is a job as its agent gets it: with where to fetch from and how to report.
func (h *Handler) spec(j fleet.Job, home string) job.Spec {
	s := j.Spec
	s.Sources = h.o.Sources
	s.Home = job.Home{URL: h.o.Home + job.HomePath, Token: home}
	return s
}

func (h *Handler) choose(w http.ResponseWriter, r *http.Request, token string) error {
	var in job.Choice
	if err := decode(w, r, false, &in); err != nil {
		return err
	}
	// Planning reads the catalog; a stranger does not get that far.
	if _, err := h.o.Fleet.Session(r.Context(), token); err != nil {
		return err
	}
	order, err := h.order(r.Context(), job.Install, Install{Image: in.Image, Disk: string(in.Disk), Erase: in.Erase})
	if err != nil {
		return err
	}
	j, home, err := h.o.Fleet.Choose(r.Context(), token, order)
	if err != nil {
		return err
	}
	h.o.Log.Info("job chosen at the screen", "machine", j.Spec.Hostname, "image", j.Spec.Image.Ref, "disk", string(j.Spec.Disk), "job", j.Spec.ID)
	return reply(w, http.StatusOK, h.spec(j, home))
}

// order plans what is asked for. Every mistake in it is told at once.
func (h *Handler) order(ctx context.Context, kind job.Kind, in Install) (fleet.Order, error) {
	o := fleet.Order{Kind: kind, Erase: in.Erase, Hostname: in.Hostname, Args: in.Args}
	var errs []error
	var err error
	if kind == job.Install {
		if o.Disk, err = job.ParseDiskRule(in.Disk); err != nil {
			errs = append(errs, fmt.Errorf("%w: %w", fleet.ErrInvalid, err))
		}
	}
	if o.Image, err = h.o.Images.Plan(ctx, in.Image); err != nil {
		errs = append(errs, err)
	}
	return o, errors.Join(errs...)
}

func (h *Handler) events(w http.ResponseWriter, r *http.Request, token string) error {
	var in job.Events
	if err := decode(w, r, false, &in); err != nil {
		return err
	}
	ack, err := h.o.Fleet.Append(r.Context(), token, in)
	if err != nil {
		return err
	}
	for _, ev := range in.Events {
		if ev.State != "" || ev.Level == job.Error {
			h.o.Log.Info("job event", "job", job.Printable(ev.Job), "phase", job.Printable(string(ev.Phase)), "state", job.Printable(string(ev.State)),
				"disk", job.Printable(ev.Disk), "message", job.Sentence(ev.Message))
		}
	}
	return reply(w, http.StatusOK, ack)
}

func (h *Handler) home(w http.ResponseWriter, r *http.Request, token string) error {
	var in job.HomeReport
	if err := decode(w, r, false, &in); err != nil {
		return err
	}
	m, err := h.o.Fleet.Home(r.Context(), token, in)
	if err != nil {
		return err
	}
	h.o.Log.Info("installed system is up", "machine", m.Name, "image", m.Deployed.Image, "hostname", m.Deployed.Report.Hostname, "kernel", m.Deployed.Report.Kernel)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
