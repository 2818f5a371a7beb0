package testbed

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Shape limits what leaves the host to rate bits per second, as a link does; 0 removes the limit.
func (h *Host) Shape(ctx context.Context, rate int64) error {
	_ = run(ctx, "tc", "-n", h.namespace(), "qdisc", "del", "dev", "eth0", "root")
	if rate == 0 {
		return nil
	}
	return run(ctx, "tc", "-n", h.namespace(), "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", fmt.Sprint(rate),
		"burst", "64kb", "limit", "4mb")
}

// Wire sets the wire to a receiver to w. It may be called at any time; another call replaces the wire.
func (h *Host) Wire(ctx context.Context, w Wire) error {
	sw := h.bed.prefix + "-switch"
	_ = run(ctx, "tc", "-n", sw, "qdisc", "del", "dev", h.Name, "root")
	if w.Rate > 0 {
		buffer := w.Buffer
		if buffer == 0 {
			buffer = 200_000
		}
		if err := run(ctx, "tc", "-n", sw, "qdisc", "add", "dev", h.Name, "root", "tbf", "rate", fmt.Sprint(w.Rate),
			"burst", "16kb", "limit", fmt.Sprint(buffer)); err != nil {
			return err
		}
	}
	var rules strings.Builder
	rules.WriteString("table netdev wire\ndelete table netdev wire\n")
	if w.Loss > 0 || w.Burst > 0 && w.Every > 0 {
		rules.WriteString("table netdev wire {\n chain in {\n  type filter hook ingress device eth0 priority 0;\n" +
			"  meta protocol != ip accept\n")
		switch {
		case w.Loss >= 1:
			rules.WriteString("  drop\n")
		case w.Loss > 0:
			fmt.Fprintf(&rules, "  numgen random mod 100000 < %d drop\n", int(w.Loss*100000))
		}
		if w.Burst > 0 && w.Every > 0 {
			// Its own phase, from its address: what one loses another has.
			phase := int(h.Address.Addr().As4()[3]) * 7919 % max(1, w.Every-w.Burst)
			fmt.Fprintf(&rules, "  numgen inc mod %d %d-%d drop\n", w.Every, phase, phase+w.Burst-1)
		}
		rules.WriteString(" }\n}\n")
	}
	c := exec.CommandContext(ctx, "ip", "netns", "exec", h.namespace(), "nft", "-f", "-")
	c.Stdin = strings.NewReader(rules.String())
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("making the wire to %s: nft: %w: %s", h.Name, err, strings.TrimSpace(string(out)))
	}
	return h.carry(ctx, w)
}
