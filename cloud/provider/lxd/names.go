package lxd

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"strings"

	"griddle/cloud/provider"
)

// Keys of our own in LXD's configurations, besides the labels that all providers have.
const (
	user        = "user." // before each label, except on images
	keyRole     = user + "griddle-role"
	keyFirewall = user + "griddle-firewall" // of an instance: the ACL that lets packets in to it
	keyRules    = user + "griddle-rules"    // of an ACL: the firewall's rules in JSON, whatever servers it has
	keyMount    = user + "griddle-mount"    // of a volume: Volume.Mount
	keyNew      = user + "griddle-new"      // of an instance, until it was started for the first time
	keyFailed   = user + "griddle-failed"   // of a new one that could not be started: why
)

// labels are what a resource bears.
func labels(w provider.Want) map[string]string {
	kind, stack, name := w.Identity()
	m := map[string]string{user + provider.LabelKind: string(kind), user + provider.LabelName: name,
		user + provider.LabelWant: w.Fingerprint()}
	if stack != "" {
		m[user+provider.LabelStack] = stack
	}
	return m
}

// with is labels and more.
func with(w provider.Want, more map[string]string) map[string]string {
	m := labels(w)
	maps.Copy(m, more)
	return m
}

// identified reads labels; false where they are not of a kind.
func identified(config map[string]string, kind provider.Kind) (provider.Resource, bool) {
	r := provider.Resource{
		Kind: kind, Stack: config[user+provider.LabelStack], Name: config[user+provider.LabelName],
		Want: config[user+provider.LabelWant], State: provider.Ready,
	}
	return r, config[user+provider.LabelKind] == string(kind) && r.Name != "" && r.Stack != ""
}

// owned is an ErrTaken unless config has the labels of a resource.
func owned(config map[string]string, kind provider.Kind, stack, name string) error {
	if r, ok := identified(config, kind); !ok || r.Stack != stack || r.Name != name {
		return fmt.Errorf("what LXD has by that name does not have its labels: %w", provider.ErrTaken)
	}
	return nil
}

// ours is an ErrInvalid unless config has the labels of a stack's resource.
func ours(config map[string]string, kind provider.Kind, stack, id string) error {
	if r, ok := identified(config, kind); !ok || r.Stack != stack {
		return fmt.Errorf("%s %s is not one of stack %q: %w", kind, id, stack, provider.ErrInvalid)
	}
	return nil
}

// joined is the name of a stack's resource among all those of a daemon: a DNS label, which is what LXD takes for most
// things. No two pairs share one: where the plain form could be read in two ways, is too long or begins with a digit,
// which LXD refuses, it ends in a digest.
func joined(stack, name string) string {
	plain := stack + "--" + name
	ambiguous := strings.Contains(stack, "--") || strings.Contains(name, "--") || strings.Contains(name, ".")
	if !ambiguous && len(plain) <= 63 && (plain[0] < '0' || plain[0] > '9') {
		return plain
	}
	short := strings.ReplaceAll(plain, ".", "-")
	return "g-" + strings.TrimRight(short[:min(len(short), 45)], "-") + "--" + digest(stack, name)[:14]
}

// bridge is the name of a stack's network, which is also that of the kernel's interface and so has at most 15 bytes.
func bridge(stack, name string) string {
	return "grd-" + digest(stack, name)[:11]
}

func digest(stack, name string) string {
	sum := sha256.Sum256([]byte(stack + "/" + name))
	return hex.EncodeToString(sum[:])
}
