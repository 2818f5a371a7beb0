package main

import (
	"context"
	"errors"
	"os"

	"griddle/appliance/job"
	"griddle/initramfs/disk"
	"griddle/initramfs/erase"
	"griddle/tui"
)

// erase carries out a job that erases a disk.
func (s *station) erase(ctx context.Context, spec job.Spec, found tui.Found) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.events.Begin(spec.ID, func() { cancel(errCancelled) })
	defer s.events.Begin("", nil)
	s.sayNetwork(spec, found)
	_, err := erase.Run(ctx, erase.Options{
		Spec:   spec,
		Disks:  found.Inventory.Disks,
		Report: s.events,
		Agent:  s.build.Version,
		Open:   erase.Open,
		Serial: func(path string) (string, error) { return s.serial(ctx, path) },
	})
	if cause := context.Cause(ctx); cause != nil && err != nil && !errors.Is(err, cause) {
		err = errors.Join(cause, err)
	}
	return err
}

// serial asks for the serial of a disk again. One that cannot be read, because it is locked, is asked as for the list.
func (s *station) serial(ctx context.Context, path string) (string, error) {
	d, err := disk.Find(os.DirFS("/sys"), disk.Open, path)
	if err == nil {
		return d.Serial, nil
	}
	all, _ := s.disks.Scan(ctx)
	for _, d := range all {
		if d.Path == path {
			return d.Serial, nil
		}
	}
	return "", err
}

// leavesSystem says whether the machine has a system to restart into after a job: an erase may have taken it away.
func leavesSystem(spec job.Spec, disks []job.Disk) bool {
	if spec.Kind != job.Erase {
		return true
	}
	for _, d := range disks {
		if d.Installed != "" && !d.Named(spec.Erase) {
			return true
		}
	}
	return false
}
