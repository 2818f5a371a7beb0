package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/rule"
)

// Rules are the rules of the site.
type Rules struct {
	// Rules is a rule.Document.
	Rules json.RawMessage `json:"rules"`
	// Tag is another one after each change of what the rules say.
	Tag     string    `json:"tag"`
	Changed time.Time `json:"changed,omitzero"` // zero before the first rules
	// Warnings are what keeps a rule from its install so far, a sentence each; after a change.
	Warnings []string `json:"warnings,omitempty"`
}

// SetRules replaces the rules of the site.
type SetRules struct {
	Rules json.RawMessage `json:"rules"` // a rule.Document
	// Tag is the one of the rules that are replaced; "" for any.
	Tag string `json:"tag,omitempty"`
}

// TryRules asks which rule would act for a machine. Nothing is changed.
type TryRules struct {
	Machine string `json:"machine"` // its key, or a MAC address that no machine has
	// Rules is a rule.Document; without it the rules of the site are tried.
	Rules json.RawMessage `json:"rules,omitempty"`

	// What takes the place of what is known of the machine.
	MAC     string `json:"mac,omitempty"`
	Address string `json:"address,omitempty"`
	Vendor  string `json:"vendor,omitempty"`
	Model   string `json:"model,omitempty"`
	Memory  int64  `json:"memory,omitempty"` // bytes
}

func (h *Handler) getRules(context.Context, *struct{}) (Rules, error) {
	return showRules(h.o.Fleet.Rules())
}

func showRules(r fleet.Rules) (Rules, error) {
	b, err := json.Marshal(r.Document)
	return Rules{Rules: b, Tag: r.Tag, Changed: r.Changed}, err
}

// parsed reads rules that a client sent.
func parsed(b json.RawMessage) (rule.Document, error) {
	d, err := rule.Decode(b)
	if err != nil {
		return d, fmt.Errorf("%w: %w", fleet.ErrInvalid, err)
	}
	return d, nil
}

func (h *Handler) setRules(ctx context.Context, in *struct{ sent[SetRules] }) (Rules, error) {
	d, err := parsed(in.body.Rules)
	if err != nil {
		return Rules{}, err
	}
	r, err := h.o.Fleet.SetRules(ctx, d, in.body.Tag)
	if errors.Is(err, fleet.ErrChanged) {
		return Rules{}, job.NewProblem(http.StatusConflict, err.Error())
	}
	if err != nil {
		return Rules{}, err
	}
	h.o.Log.Info("rules changed", "rules", len(d.Rules), "tag", r.Tag, "remote", callerOf(ctx).remote)
	out, err := showRules(r)
	for _, r := range d.Rules {
		if r.Install == nil {
			continue
		}
		if _, err := h.o.Images.Plan(ctx, r.Install.Image); err != nil {
			out.Warnings = append(out.Warnings, job.Sentence(fmt.Sprintf("rule %s installs nothing so far: image "+
				"%s: %v",
				r.Name, r.Install.Image, err)))
		}
	}
	return out, err
}

func (h *Handler) tryRules(ctx context.Context, in *struct{ sent[TryRules] }) (out fleet.Trial, err error) {
	q := fleet.Try{Key: in.body.Machine, MAC: in.body.MAC, Vendor: in.body.Vendor, Model: in.body.Model,
		Memory: in.body.Memory}
	if in.body.Address != "" {
		if q.Address, err = netip.ParseAddr(in.body.Address); err != nil {
			return out, fmt.Errorf("%w address %q", fleet.ErrInvalid, job.Printable(in.body.Address))
		}
	}
	if in.body.Rules != nil {
		d, err := parsed(in.body.Rules)
		if err != nil {
			return out, err
		}
		q.Rules = &d
	}
	return h.o.Fleet.TryRules(ctx, q)
}

// Rules returns the rules of the site.
func (c *Client) Rules(ctx context.Context) (out Rules, err error) {
	err = c.made.GetRules(ctx, &out)
	return out, err
}

// SetRules replaces them.
func (c *Client) SetRules(ctx context.Context, in SetRules) (out Rules, err error) {
	err = c.made.SetRules(ctx, in, &out)
	return out, err
}

// TryRules says which rule would act for a machine, and changes nothing.
func (c *Client) TryRules(ctx context.Context, in TryRules) (out fleet.Trial, err error) {
	err = c.made.TryRules(ctx, in, &out)
	return out, err
}
