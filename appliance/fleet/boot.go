package fleet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"griddle/appliance/job"
	"griddle/netboot"
)

// Boot implements netboot.Booter: a machine with a live job gets the agent, one with an installed system its disk, and
// any other what the policy says. A machine that was never seen is remembered.
func (f *Fleet) Boot(ctx context.Context, m netboot.Machine) (netboot.Spec, error) {
	id := job.Identity{UUID: m.UUID, MACs: []string{m.MAC.String()}}.Bounded()
	if len(id.MACs) == 0 {
		return netboot.Spec{}, fmt.Errorf("deciding what to boot: %w MAC address %q", ErrInvalid, m.MAC.String())
	}
	var jobs []Job
	err := f.change(ctx, func(tx *sql.Tx) error {
		known, err := f.recognise(ctx, tx, id)
		if errors.Is(err, ErrUnknown) {
			known, err = f.introduce(ctx, tx, id)
		}
		if err != nil {
			return err
		}
		// The UUID that firmware sends may be in another byte order than the agent's, which is the better one.
		known.learn(job.Identity{MACs: id.MACs})
		if known.Identity.UUID == "" {
			known.Identity.UUID = id.UUID
		}
		known.LastSeen = f.o.Now().UTC()
		if err := f.save(ctx, tx, known, false); err != nil {
			return err
		}
		jobs, err = jobsOf(ctx, tx, known.ID)
		return err
	})
	if err != nil {
		return netboot.Spec{}, fmt.Errorf("deciding what to boot: %w", err)
	}
	return netboot.Spec{
		Action:  decide(f.o.Unknown, jobs),
		Volume:  volume(jobs),
		Kernel:  f.o.Kernel,
		Initrds: f.o.Initrds,
		Args:    append([]string{"console=tty0", "console=ttyS0,115200", "quiet", "loglevel=3", "griddle.mac=" + id.MACs[0]}, f.o.Args...),
	}, nil
}

// volume is the partition that the last job which ended well made, "" where there is none.
func volume(jobs []Job) string {
	for _, j := range jobs {
		if j.State == job.Done && j.Spec.Started != "" {
			return job.ESPLabel(j.Spec.ID)
		}
	}
	return ""
}

// decide says what a machine with these jobs, the newest first, boots. Of the jobs that are over only the last one
// that wrote to a disk matters: if it was done there is a system, otherwise there is the ruin of one.
func decide(unknown Policy, jobs []Job) netboot.Action {
	if live(jobs) != nil {
		return netboot.Agent
	}
	for _, j := range jobs {
		if j.Spec.Started == "" {
			continue
		}
		if j.State == job.Done {
			return netboot.Local
		}
		break
	}
	switch unknown {
	case StartAgent:
		return netboot.Agent
	case BootLocal:
		return netboot.Local
	}
	return netboot.Menu
}
