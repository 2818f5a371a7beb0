package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"griddle/cloud/provider"
	"griddle/cloud/provider/qemu/qmp"
)

// machine reads what a server's command line depends on.
func (q *QEMU) machine(ctx context.Context, r *record) (machine, error) {
	m := machine{record: r, firmware: q.Firmware}
	var err error
	if m.network, err = q.byID(provider.KindNetwork, r.Server.Network); err != nil {
		return m, err
	}
	if m.network == nil {
		return m, fmt.Errorf("network %s: %w", r.Server.Network, provider.ErrNotFound)
	}
	for _, id := range r.Server.Volumes {
		v, err := q.byID(provider.KindVolume, id)
		if err != nil {
			return m, err
		}
		if v == nil {
			return m, fmt.Errorf("volume %s: %w", id, provider.ErrNotFound)
		}
		m.volumes = append(m.volumes, v)
	}
	m.accel, err = q.accelerator(ctx)
	return m, err
}

// start starts a server's process. Another program can take a port between the look at it and QEMU's: then once more.
func (q *QEMU) start(ctx context.Context, r *record) error {
	s := r.Server
	m, err := q.machine(ctx, r)
	if err != nil {
		return err
	}
	for try := 0; ; try++ {
		var more []*os.File
		if bridge := m.network.Network.Bridge; bridge != "" {
			tap, err := openTap(bridge)
			if err != nil {
				return fmt.Errorf("attaching it to bridge %q: %w", bridge, err)
			}
			more = append(more, tap)
		} else if err := q.choosePorts(r); err != nil {
			return err
		}
		s.Started, s.Deadline, s.Power = false, time.Time{}, powerOn
		if err := q.write(r); err != nil {
			return err
		}
		err := spawn(ctx, q.serverDir(r), m.arguments(), more...)
		for _, f := range more {
			f.Close()
		}
		if err == nil || errors.Is(err, errRuns) {
			break
		}
		if try == 3 || !strings.Contains(err.Error(), "host forwarding") {
			return fmt.Errorf("starting it: %w", err)
		}
		s.Forwards = nil
	}
	s.Started, s.Failed = true, ""
	return q.write(r)
}

// choosePorts says which ports are forwarded to a server that does not run yet.
func (q *QEMU) choosePorts(r *record) error {
	s := r.Server
	firewall, err := q.byID(provider.KindFirewall, s.Firewall)
	if err != nil {
		return err
	}
	if s.Firewall != "" && firewall == nil {
		return fmt.Errorf("firewall %s: %w", s.Firewall, provider.ErrNotFound)
	}
	wanted, err := admitted(firewall, s.SSH)
	if err != nil {
		return err
	}
	s.Forwards, err = assign(wanted, s.Forwards, r.stack()+"/"+r.name(), s.Address != "", freePort(s.Public))
	return err
}

// follow has a running server forward what its firewall and its address say. Ports that it has already
// are not free, and kept.
func (q *QEMU) follow(ctx context.Context, r *record, m *monitor) error {
	s := r.Server
	text, err := m.Human(ctx, "info usernet")
	if err != nil {
		return err
	}
	firewall, err := q.byID(provider.KindFirewall, s.Firewall)
	if err != nil {
		return err
	}
	wanted, err := admitted(firewall, s.SSH)
	if err != nil {
		return err
	}
	is := parseUsernet(text)
	var kept []provider.Forward
	for _, f := range is {
		if f.public == s.Public {
			kept = append(kept, f.Forward)
		}
	}
	free := freePort(s.Public)
	s.Forwards, err = assign(wanted, kept, r.stack()+"/"+r.name(), s.Address != "",
		func(protocol string, port uint16) uint16 {
			if port != 0 && slices.ContainsFunc(kept, func(f provider.Forward) bool {
				return f.Protocol == protocol && f.Public == port
			}) {
				return port
			}
			return free(protocol, port)
		})
	if err != nil {
		return err
	}
	return m.forward(ctx, is, s)
}

// attach brings the volumes of a running server to those given.
func (m *monitor) attach(ctx context.Context, volumes []*record) error {
	b, err := m.Do(ctx, "qom-list", map[string]string{"path": "/machine/peripheral"})
	if err != nil {
		return err
	}
	var has []struct{ Name string }
	if err := json.Unmarshal(b, &has); err != nil {
		return fmt.Errorf("asking QEMU for its disks: %w", err)
	}
	there := make(map[string]bool)
	for _, h := range has {
		there[h.Name] = strings.HasPrefix(h.Name, volumeID)
	}
	for name, is := range there {
		if !is || slices.ContainsFunc(volumes, func(v *record) bool { return volumeID+v.Serial == name }) {
			continue
		}
		if err := m.detach(ctx, name); err != nil {
			return err
		}
	}
	for _, v := range volumes {
		node := volumeID + v.Serial
		if there[node] {
			continue
		}
		// The node of one that was being attached when its program was killed may be there.
		m.Do(ctx, "blockdev-del", map[string]string{"node-name": node})
		if _, err := m.Do(ctx, "blockdev-add", blockNode(node, "raw", volumePath(v), false)); err != nil {
			return err
		}
		_, err := m.Do(ctx, "device_add",
			map[string]string{"driver": "scsi-hd", "bus": "scsi.0", "id": node, "drive": node, "serial": diskSerial(v)})
		if err != nil {
			return err
		}
	}
	return nil
}

// detach takes a disk away. QEMU frees its node a moment after the device has gone.
func (m *monitor) detach(ctx context.Context, name string) error {
	if _, err := m.Do(ctx, "device_del", map[string]string{"id": name}); err != nil {
		return err
	}
	for wait := time.Millisecond; ; wait *= 2 {
		_, err := m.Do(ctx, "blockdev-del", map[string]string{"node-name": name})
		var refused *qmp.Error
		if err == nil || !errors.As(err, &refused) || wait > 4*time.Second {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
