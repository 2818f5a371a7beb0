package main

import (
	"context"
	"errors"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/kexec"
	"griddle/initramfs/pool"

	"golang.org/x/sys/unix"
)

// sayTime is how long the server may take to hear why a machine restarts in the ordinary way.
const sayTime = 10 * time.Second

// restart leaves the boot image: by kexec if the job that was carried out may do that, else through the firmware.
func (s *station) restart(ctx context.Context) {
	if spec := s.done.Load(); spec != nil && spec.Kexec {
		s.screen.leave()
		err := leave(*spec)
		s.log.Warn("restarting through the firmware", "why", err)
		s.events.Event(job.Event{Level: job.Info,
			Message: job.Sentence("restarting through the firmware: " + err.Error())})
		wait, cancel := context.WithTimeout(ctx, sayTime)
		_ = s.events.Flush(wait)
		cancel()
	}
	s.shutDown(unix.LINUX_REBOOT_CMD_RESTART)
}

// leave starts the system that a job made. It returns only after an error.
func leave(spec job.Spec) error {
	place, err := poolOf(madeBy(spec), pool.All())
	if err == nil && place.Encrypted() && place.Pool == "" {
		err = errors.New("the pool of this machine is encrypted, and closed now")
	}
	if err != nil {
		return err
	}
	return kexec.Leave(place)
}

// madeBy is spec with the pool that it has left: an install makes one with its own ID.
func madeBy(spec job.Spec) job.Spec {
	if spec.Kind == job.Install {
		spec.Pool = spec.ID
	}
	return spec
}
