package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"

	"github.com/google/uuid"

	"griddle/appliance/job"
	"griddle/initramfs/keysearch"
	"griddle/initramfs/uplink"
	"griddle/tui"
)

// introduce says hello for the first time, see prove.
func (s *station) introduce(ctx context.Context, l *uplink.Lease) (tui.Found, error) {
	key, kept := s.keptKey(ctx)
	return s.prove(key, kept, func() (tui.Found, error) { return s.hello(ctx, l) })
}

// prove says hello with the key of an earlier install if one was kept, so that the machine proves that it is the one
// that was approved, else with a new key. A key that the server did not approve is given up: anyone who wrote the disk
// has it too, and an approval would be of theirs.
func (s *station) prove(key tls.Certificate, kept bool, hello func() (tui.Found, error)) (tui.Found, error) {
	for {
		var err error
		if !kept {
			if key, err = job.NewKey(); err != nil {
				return tui.Found{}, err
			}
		}
		s.key = key
		if s.api, err = newClient(s.site, key); err != nil {
			return tui.Found{}, err
		}
		found, err := hello()
		if err != nil || !kept || found.Welcome.Approved {
			return found, err
		}
		s.log.Info("the server did not approve the key of the earlier install; this boot makes a new one")
		kept, s.boot = false, uuid.NewString() // a boot has one key
	}
}

// keptKey is the key that an earlier install left on a disk.
func (s *station) keptKey(ctx context.Context) (tls.Certificate, bool) {
	s.step(tui.Step{Name: stepDevices, State: tui.StepRunning, Detail: "reading disks"})
	found, err := s.disks.Scan(ctx)
	if err != nil {
		s.log.Warn("reading disks", "error", err)
	}
	k, notes, err := keysearch.Newest(ctx, found)
	for _, n := range notes {
		s.log.Warn("key of an earlier install", "error", n)
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.log.Warn("key of an earlier install", "error", err)
		}
		return tls.Certificate{}, false
	}
	s.log.Info("key of an earlier install", "pool", k.Pool, "kept", k.Kept)
	return k.Certificate, true
}
