package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"griddle/appliance/console"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/quota"
)

func (h *Handler) hello(w http.ResponseWriter, r *http.Request, by fleet.Proof) error {
	var in job.Hello
	if err := decode(w, r, false, &in); err != nil {
		return err
	}
	if h.o.Private && !slices.Contains(in.Sources, job.SourceHTTPS) {
		return job.NewProblem(http.StatusUpgradeRequired,
			"images on this server are private, and this machine's boot image is too old to fetch them: "+
				"make a new one with `make boot`, and copy it to the server's boot_dir")
	}
	g, err := h.o.Fleet.Hello(r.Context(), quota.Key(r.RemoteAddr), by.Key, in)
	if err != nil {
		return err
	}
	out := job.Welcome{Time: h.o.Now().UTC(), Machine: g.Machine.Name, Token: g.Token, Unfinished: g.Unfinished,
		Approved: g.Approved, Layouts: true, Mirror: true, Zone: h.zone(r.Context(), g.Machine)}
	out.Screen = h.screens.Hello(g.Machine.ID, console.Boot{ID: in.Boot,
		Shows: slices.Contains(in.Features, job.FeatureScreen), Waiting: g.Waiting, Approved: g.Approved})
	if g.Rule != nil {
		if err := h.obey(r.Context(), fleet.Proof{Token: g.Token, Key: by.Key}, &g); err != nil {
			return err
		}
	}
	what := "choose"
	if g.Waiting {
		what = "waits for approval"
		if g.Code != "" {
			out.Approval = &job.Settings{State: job.Waiting, Code: g.Code}
		}
	} else if g.Job != nil {
		s, err := h.spec(r.Context(), *g.Job, g.Home)
		if err != nil {
			return err
		}
		if lacks := lacking(s, in.Features); lacks != "" {
			return h.tooOld(r.Context(), fleet.Proof{Token: g.Token, Key: by.Key}, s.ID, lacks)
		}
		out.Job, what = &s, s.Image.Ref
		if s.Kind == job.Erase {
			what = "erase"
		}
	} else if out.Images, err = h.o.Images.Choices(r.Context()); err != nil {
		return fmt.Errorf("listing images for %s: %w", g.Machine.Name, err)
	}
	// An agent without a job asks every ten seconds.
	level := slog.LevelDebug
	if g.First || g.Job != nil {
		level = slog.LevelInfo
	}
	h.o.Log.Log(r.Context(), level, "agent says hello", "machine", g.Machine.Name, "macs", g.Machine.Identity.MACs,
		"product", job.Printable(g.Machine.Identity.Product),
		"disks", len(g.Machine.Inventory.Disks), "boot", in.Boot, "agent", job.Printable(in.Agent), "image", what)
	return give(w, http.StatusOK, out)
}

// zone is by which clocks the screen of a machine shows times: those of its settings, else those of the server.
func (h *Handler) zone(ctx context.Context, m fleet.Machine) job.Zone {
	now := h.o.Now()
	d, err := h.o.Fleet.Declared(ctx, m.ID)
	if err != nil {
		return job.ZoneOf(now)
	}
	all, _, err := h.present(ctx, d, d.Settings)
	if err != nil {
		return job.ZoneOf(now)
	}
	for _, v := range all.Values() {
		if v.Place != "zone" {
			continue
		}
		if place, err := time.LoadLocation(v.Text); err == nil {
			now = now.In(place)
		}
	}
	return job.ZoneOf(now)
}

// spec is a job as its agent gets it: with where to fetch from and how to report.
func (h *Handler) spec(ctx context.Context, j fleet.Job, home string) (s job.Spec, err error) {
	s = j.Spec
	s.Sources = h.o.Sources
	if s.Kind == job.Erase || s.Kind.IsAction() { // it fetches nothing, and leaves no system
		s.Sources = nil
		return s, nil
	}
	s.Service = s.Kind != job.Relay
	if home != "" {
		s.Home = job.Home{URL: h.o.Home + job.HomePath, Token: home}
	}
	if s.Kind == job.Relay {
		return s, nil
	}
	n, err := h.o.Fleet.RecoveryKeys(ctx, j.Machine)
	if err != nil {
		return s, err
	}
	d, _ := layout.Decode(s.Layout)
	s.Recovery = n > 0 || d.Recovers()
	s.Settings, err = h.hasSettings(ctx, j)
	return s, err
}

// updates is what an agent without job.FeatureUpdate lacks.
const updates = "updates"

// lacking says what of a job an agent with these features cannot do, "" if it can do all of it.
func lacking(s job.Spec, features []string) string {
	can := func(what string) bool { return slices.Contains(features, what) }
	d, _ := layout.Decode(s.Layout) // one that cannot be read is for the agent to refuse
	switch {
	case s.Kind == job.Update && !can(job.FeatureUpdate):
		return updates
	case s.Kind.IsAction() && !can(job.ActionFeature(s.Kind)):
		return "a job of the kind " + string(s.Kind)
	case s.Layout != nil && !can(job.FeatureLayout):
		return "a layout of disks"
	case d.Mirrors() && !can(job.FeatureMirror):
		return "a layout whose pool is a mirror of two disks"
	case d.HasRoots() && !can(job.FeatureRoots):
		return "a layout with roots that are partitions"
	case d.HasVolumes() && !can(job.FeatureVolumes):
		return "a layout with raid or lvm_volgroup"
	case d.Encrypts() && !can(job.FeatureLUKS):
		return "a layout with encrypted partitions"
	case d.Recovers() && !can(job.FeatureRecovery):
		return "a layout with partitions that a recovery key opens"
	case d.EncryptsPool() && !can(job.FeatureEncryptedPool):
		return "a layout whose pool is encrypted"
	case s.Kind == job.Erase && !can(job.FeatureErase):
		return "erasing a disk"
	case s.Kind == job.Install && s.Disk.IsMatch() && !can(job.FeatureMatch):
		return "a disk rule that begins with match:"
	case s.Reset != "" && !can(job.FeatureReset):
		return "systems that are fresh at each start"
	case s.Kernel.Ref != "" && !can(job.FeatureKernel):
		return "an image that gets its kernel from another one"
	case s.Settings && !can(job.FeatureSettings):
		return "the settings of this machine"
	}
	return ""
}

// needs says what a person has to do before the pending update of a machine begins, because the service that checked in
// there cannot carry it out. It is "" if there is nothing to do.
func needs(v fleet.View) string {
	j, s := v.Job, v.Machine.Service
	if j == nil || j.Spec.Kind != job.Update || j.State != job.Pending || j.Phase == job.PhaseSwitch || s == nil ||
		s.Features == nil {
		return ""
	}
	network := ", or start the machine from the network"
	if j.TooOld {
		network = "; the boot image is too old for it too"
	}
	switch what := lacking(j.Spec, append([]string{job.FeatureSettings}, s.Features...)); what {
	case "":
		return ""
	case updates:
		return "the service there cannot carry out updates: run `griddle-agent update --set-up` there as root" + network
	default:
		return "the service there is too old for " + what + ": make a new boot image with `make boot`, and copy it " +
			"to the server's boot_dir, from which the service takes its next version" + network
	}
}

func (h *Handler) choose(w http.ResponseWriter, r *http.Request, by fleet.Proof) error {
	var in job.Choice
	if err := decode(w, r, false, &in); err != nil {
		return err
	}
	who, err := h.o.Fleet.Session(r.Context(), by)
	if err != nil {
		return err
	}
	var j fleet.Job
	var home string
	if in.Continue != "" {
		j, home, err = h.o.Fleet.Continue(r.Context(), by, in.Continue, in.Disk)
	} else {
		var order fleet.Order
		if order, err = h.order(r.Context(), job.Install,
			Install{Image: in.Image, Disk: string(in.Disk), Erase: in.Erase, Layout: in.Layout,
				Plan: in.Plan}); err == nil {
			_, err = h.check(r.Context(), who.Machine, order)
		}
		if err == nil {
			j, home, err = h.o.Fleet.Choose(r.Context(), by, order)
		}
	}
	if err != nil {
		return err
	}
	s, err := h.spec(r.Context(), j, home)
	if err != nil {
		return err
	}
	var features []string
	if who.Settings {
		features = append(features, job.FeatureSettings)
	}
	if who.Kernel {
		features = append(features, job.FeatureKernel)
	}
	if who.Layout { // this agent made the layout itself, so that it knows all of it
		features = append(features, job.FeatureLayout, job.FeatureMirror, job.FeatureVolumes, job.FeatureLUKS,
			job.FeatureRecovery, job.FeatureEncryptedPool)
	}
	if lacks := lacking(s, features); lacks != "" {
		return h.tooOld(r.Context(), by, s.ID, lacks)
	}
	h.o.Log.Info("job chosen at the screen", "machine", j.Spec.Hostname, "image", j.Spec.Image.Ref,
		"disk", string(j.Spec.Disk), "job", j.Spec.ID, "continued", in.Continue != "")
	return give(w, http.StatusOK, s)
}

// order plans what is asked for. Every mistake in it is told at once.
func (h *Handler) order(ctx context.Context, kind job.Kind, in Install) (fleet.Order, error) {
	o := fleet.Order{Kind: kind, Asked: in.Image, Disk: job.DiskRule(in.Disk), Erase: in.Erase, Layout: in.Layout,
		Plan: in.Plan, Hostname: in.Hostname, Args: in.Args}
	var errs []error
	var err error
	if o.Reset, err = job.ParseReset(in.Reset); err != nil {
		errs = append(errs, fmt.Errorf("%w: %w", fleet.ErrInvalid, err))
	}
	if kind == job.Install && in.Layout == nil {
		if o.Disk, err = job.ParseDiskRule(in.Disk); err != nil {
			errs = append(errs, fmt.Errorf("%w: %w", fleet.ErrInvalid, err))
		}
	}
	if o.Image, err = h.o.Images.Plan(ctx, in.Image); err == nil && kind != job.Relay {
		o.Kernel, err = h.o.Images.Kernel(ctx, o.Image)
	}
	if err == nil && (kind == job.Update || in.Reset != "" && in.Reset != string(job.ResetNo)) {
		err = h.o.Images.Updates(ctx, o.Image)
	}
	if err != nil {
		errs = append(errs, err)
	}
	return o, errors.Join(errs...)
}

func (h *Handler) events(w http.ResponseWriter, r *http.Request, by fleet.Proof) error {
	var in job.Events
	if err := decode(w, r, false, &in); err != nil {
		return err
	}
	who, err := h.o.Fleet.Session(r.Context(), by)
	if err != nil {
		return err
	}
	ack, err := h.o.Fleet.Append(r.Context(), by, in)
	if err != nil {
		return err
	}
	ack.Screen = h.screens.Reported(who.Machine, who.Boot, who.Approved)
	for _, ev := range in.Events {
		if ev.State == "" && ev.Level != job.Error {
			continue
		}
		level, what := slog.LevelInfo, "job event"
		if ev.State == job.Failed || ev.Level == job.Error {
			level, what = slog.LevelError, "job failed"
		}
		h.o.Log.Log(r.Context(), level, what, "machine", who.Name, "job", job.Printable(ev.Job),
			"phase", job.Printable(string(ev.Phase)), "state", job.Printable(string(ev.State)),
			"disk", job.Printable(ev.Disk), "message", job.Sentence(ev.Message))
	}
	return give(w, http.StatusOK, ack)
}

func (h *Handler) home(w http.ResponseWriter, r *http.Request, by fleet.Proof) error {
	var in job.HomeReport
	if err := decode(w, r, false, &in); err != nil {
		return err
	}
	m, err := h.o.Fleet.Home(r.Context(), by.Token, in)
	if err != nil {
		return err
	}
	h.o.Log.Info("installed system is up", "machine", m.Name, "image", m.Deployed.Image,
		"hostname", m.Deployed.Report.Hostname, "kernel", m.Deployed.Report.Kernel)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
