package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"griddle/appliance/job"
)

// maxWebhooks bounds the webhooks of a server.
const maxWebhooks = 16

// webhookEvents are the types of events: what a job becomes.
func webhookEvents() (out []string) {
	for _, s := range []job.State{job.Pending, job.Started, job.Done, job.Failed, job.Cancelled} {
		out = append(out, "job."+string(s))
	}
	return out
}

// webhookMistakes finds what is wrong with webhooks.
func webhookMistakes(all []Webhook, wrong func(key, format string, args ...any)) {
	if len(all) > maxWebhooks {
		wrong("webhooks", "%d are more than the %d that are allowed", len(all), maxWebhooks)
	}
	seen := map[string]bool{}
	for i, h := range all {
		at := fmt.Sprintf("webhooks[%d].", i)
		u, err := url.Parse(h.URL)
		switch {
		case err != nil || u.Host == "" || u.User != nil || u.Fragment != "" ||
			u.Scheme != "https" && u.Scheme != "http":
			wrong(at+"url", "it is not an https:// URL without a user and a fragment")
		case u.Scheme == "http" && !h.Private:
			wrong(at+"url", "http is not encrypted; use https, or set private: true for a program in your own network")
		case seen[h.URL]:
			wrong(at+"url", "another webhook has the same URL")
		}
		seen[h.URL] = true
		if h.SecretFile == "" {
			wrong(at+"secret_file", "it is missing: the file with the secret that signs what is sent")
		}
		for _, e := range h.Events {
			if !slices.Contains(webhookEvents(), e) {
				wrong(at+"events", "%q is not one of %s", e, strings.Join(webhookEvents(), ", "))
			}
		}
	}
}
