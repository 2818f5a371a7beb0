package e2e

import (
	"context"

	"griddle/appliance/e2e/machinetest"
)

// Sniff returns a line for each frame that reaches the server and that a filter accepts (pcap-filter(7)).
func (r *Room) Sniff(ctx context.Context, filter string) (*machinetest.Transcript, error) {
	p, err := r.start("tcpdump", "server", "tcpdump", "-l", "-n", "-e", "-i", "eth0", filter)
	if err != nil {
		return nil, err
	}
	if _, err := p.Output.Wait(ctx, `^listening on eth0`); err != nil {
		return nil, err
	}
	return p.Output, nil
}
