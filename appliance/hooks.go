package appliance

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/webhook"
)

const webhooksDir = "webhooks" // in the state directory

// webhooks reads the secrets and certificates of the webhooks in the configuration.
func (s *server) webhooks() (out []webhook.Hook, err error) {
	for _, c := range s.config.Webhooks {
		h := webhook.Hook{URL: c.URL, Events: c.Events, Private: c.Private}
		if h.Secret, err = webhook.ReadSecret(c.SecretFile); err != nil {
			return nil, err
		}
		if st, err := os.Stat(c.SecretFile); err == nil && st.Mode().Perm()&0o007 != 0 {
			s.log.Warn("other users of this host can read the secret of a webhook", "file", c.SecretFile,
				"fix", "chmod o= "+c.SecretFile)
		}
		if c.CAFile != "" {
			b, err := os.ReadFile(c.CAFile)
			if err != nil {
				return nil, fmt.Errorf("reading the CA of a webhook: %w", err)
			}
			if h.Roots = x509.NewCertPool(); !h.Roots.AppendCertsFromPEM(b) {
				return nil, fmt.Errorf("reading the CA of a webhook: %s has no certificate", c.CAFile)
			}
		}
		out = append(out, h)
	}
	return out, nil
}

// sendWebhooks tells the webhooks what becomes of jobs until ctx ends.
func (s *server) sendWebhooks(ctx context.Context) error {
	return webhook.Run(ctx, webhook.Options{Hooks: s.hooks, Dir: s.state.path(webhooksDir), Log: s.log, Now: s.now,
		Last: s.fleet.LastEntry, Grown: s.fleet.Growth,
		Next: func(ctx context.Context, after int64) (out []webhook.Event, last int64, err error) {
			turns, last, err := s.fleet.Turns(ctx, after, 500)
			for _, t := range turns {
				out = append(out, told(t))
			}
			return out, last, err
		}})
}

// toldJob is what a webhook gets to know. It has no settings, keys or tokens.
type toldJob struct {
	Machine struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"machine"`
	Job struct {
		ID      string    `json:"id"`
		Kind    job.Kind  `json:"kind"`
		State   job.State `json:"state"`
		Image   string    `json:"image,omitempty"`
		Message string    `json:"message,omitempty"` // of one that failed or was cancelled
	} `json:"job"`
}

func told(t fleet.Turn) webhook.Event {
	var d toldJob
	d.Machine.ID, d.Machine.Name = t.Job.Machine, t.Name
	d.Job.ID, d.Job.Kind, d.Job.State = t.Job.Spec.ID, t.Job.Spec.Kind, t.Job.State
	if d.Job.Kind == "" {
		d.Job.Kind = "install"
	}
	d.Job.Image, d.Job.Message = t.Job.Spec.Image.Ref, job.Sentence(t.Job.Message)
	return webhook.Event{ID: t.ID, Of: t.Job.Spec.ID, State: string(t.Job.State), Type: "job." + string(t.Job.State),
		Time: t.Received, Data: d}
}
