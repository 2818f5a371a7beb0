package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"griddle/appliance/e2e/machinetest"
)

// Snapshot is a machine as it was once: its disks, what UEFI remembers, and its memory if it was on. Nothing
// changes it.
type Snapshot struct {
	machine Machine
	memory  string // a file, "" if the machine was off
	vars    string
}

// Snapshot switches the machine off as it is. Its disks belong to the snapshot from then on: do not switch it on again.
func (m *Machine) Snapshot(ctx context.Context, name string) (*Snapshot, error) {
	s := &Snapshot{machine: Machine{Hardware: m.Hardware, room: m.room, tap: m.tap},
		vars: m.room.path(name + ".vars")}
	if m.running() {
		s.memory = m.room.path(name + ".memory")
		if err := m.save(ctx, s.memory); err != nil {
			return nil, fmt.Errorf("taking a snapshot of %s: %w", m.Name, err)
		}
		m.PowerCut()
	}
	if m.Firmware == UEFI {
		if err := copyFile(s.vars, m.vars); err != nil {
			return nil, fmt.Errorf("taking a snapshot of %s: %w", m.Name, err)
		}
	}
	return s, nil
}

// running says whether the machine is on.
func (m *Machine) running() bool {
	if m.process == nil {
		return false
	}
	select {
	case <-m.process.done:
		return false
	default:
		return true
	}
}

// save writes the memory of a machine that runs to a file, and stops its processor.
func (m *Machine) save(ctx context.Context, file string) error {
	for _, c := range []struct {
		name      string
		arguments any
	}{
		{"migrate-set-capabilities", map[string]any{"capabilities": []map[string]any{
			{"capability": "events", "state": true}}}},
		{"migrate-set-parameters", map[string]any{"max-bandwidth": 8 << 30}},
		{"migrate", map[string]any{"uri": "exec:cat >" + file}},
	} {
		if err := m.monitor.command(ctx, c.name, c.arguments); err != nil {
			return err
		}
	}
	for {
		if _, err := m.monitor.events.Wait(ctx, `^MIGRATION$`); err != nil {
			return err
		}
		out, err := m.monitor.Do(ctx, "query-migrate", nil)
		if err != nil {
			return err
		}
		var is struct {
			Status string `json:"status"`
			Error  string `json:"error-desc"`
		}
		if err := json.Unmarshal(out, &is); err != nil {
			return err
		}
		switch is.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("QEMU wrote no memory: %s", is.Error)
		}
	}
}

// Machine makes a machine that is as the snapshot, with files of its own: what it writes goes to them. PowerOn has it
// continue where the snapshot was taken. Of all machines of a snapshot, and the one of which it was taken, one is on at
// a time: they have the same cable.
func (s *Snapshot) Machine(ctx context.Context, name string) (*Machine, error) {
	m := s.machine
	m.Name, m.vars, m.memory = name, m.room.path(name+".vars"), s.memory
	m.Disks = slices.Clone(m.Disks)
	for i, d := range m.Disks {
		file := m.room.path(fmt.Sprintf("%s-%d.qcow2", name, i))
		if _, err := machinetest.Run(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-F", cmp.Or(d.Format, "raw"),
			"-b", d.File, file); err != nil {
			return nil, fmt.Errorf("making %s of a snapshot: %w", name, err)
		}
		m.Disks[i].File, m.Disks[i].Format = file, "qcow2"
	}
	if m.Firmware == UEFI {
		if err := copyFile(m.vars, s.vars); err != nil {
			return nil, fmt.Errorf("making %s of a snapshot: %w", name, err)
		}
	}
	return &m, nil
}

// Off is the snapshot of a machine whose power was cut at that moment.
func (s *Snapshot) Off() *Snapshot {
	off := *s
	off.memory = ""
	return &off
}

// Replace gives a snapshot's machine another disk, which it has not seen yet: the machine must not have been on since
// its memory was written.
func (m *Machine) Replace(i int, file string) { m.Disks[i].File, m.Disks[i].Format = file, "" }

// Remove deletes the files of a machine that was made of a snapshot, with its logs. It must be off.
func (m *Machine) Remove() error {
	var errs []error
	for _, pattern := range []string{"-*", ".*"} {
		files, err := filepath.Glob(m.room.path(m.Name + pattern))
		errs = append(errs, err)
		for _, f := range files {
			errs = append(errs, os.Remove(f))
		}
	}
	return errors.Join(errs...)
}

// Events are the names of QEMU's events since the last PowerOn, such as RESET, each a line.
func (m *Machine) Events() *machinetest.Transcript { return m.monitor.events }

// Same fails if a disk of a machine has not the content that it has in the snapshot. The machine must be off.
func (s *Snapshot) Same(ctx context.Context, m *Machine, i int) error {
	was, is := s.machine.Disks[i], m.Disks[i]
	_, err := machinetest.Run(ctx, "qemu-img", "compare", "-f", cmp.Or(was.Format, "raw"),
		"-F", cmp.Or(is.Format, "raw"), was.File, is.File)
	return err
}
