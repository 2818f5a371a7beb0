package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"

	"griddle/appliance/e2e/machinetest"
	"griddle/cloud/provider/qemu/qmp"
)

// monitor is a machine's QEMU: its commands, and the names of its events, one a line.
type monitor struct {
	*qmp.Client
	events *machinetest.Transcript
}

func openMonitor(ctx context.Context, name string, conn net.Conn) (*monitor, error) {
	c, err := qmp.Open(ctx, conn)
	if err != nil {
		return nil, err
	}
	m := &monitor{c, machinetest.NewTranscript(name + " (events)")}
	c.Follow(func(event string) { fmt.Fprintln(m.events, event) },
		func(error) { m.events.End(errors.New("the machine is off")) })
	return m, nil
}

// command carries out a command that has no value.
func (m *monitor) command(ctx context.Context, name string, args any) error {
	_, err := m.Do(ctx, name, args)
	return err
}
