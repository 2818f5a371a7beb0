package resident

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/resident/order"
)

// situation is what the service knows of updates. The error is that of a file; what could be read is there.
func (s *service) situation() (order.Situation, error) {
	now := order.Here(strings.TrimPrefix(s.Root, "@roots/"))
	var err, err2, err3 error
	now.Waiting, err = s.orders.Waiting()
	now.History, err2 = history.Read(s.at.Folder)
	now.Progress, now.Result, now.Reported = s.orders.Progress(), s.orders.Result(), s.orders.Reported()
	now.Begun, err3 = s.orders.Begun()
	now.Acted, now.Roots = s.orders.Acted(), s.orders.Roots()
	return now, errors.Join(err, err2, err3)
}

// obey does what follows from an answer to a check-in for updates and actions. First it records what the server has
// heard.
func (s *service) obey(now order.Situation, out job.CheckedIn) error {
	if heard := now.Heard(); heard != now.Reported {
		if err := s.orders.Report(heard); err != nil {
			return err
		}
	}
	switch now.Next(out) {
	case order.Take:
		if err := s.can(out.Job.Kind); err != nil {
			return err
		}
		s.Log.Info("an order of the server", "kind", string(out.Job.Kind), "image", job.Printable(out.Job.Image.Ref),
			"job", job.Printable(out.Job.ID))
		return s.orders.Give(order.Order{Spec: *out.Job, Given: s.Now().UTC()})
	case order.Forget:
		s.Log.Info("the server took its order back", "kind", string(now.Waiting.Spec.Kind),
			"image", job.Printable(now.Waiting.Spec.Image.Ref))
		return s.orders.Withdraw(now.Waiting.Spec.ID)
	}
	return nil
}

// can is the error of a kind of job that this system cannot carry out.
func (s *service) can(kind job.Kind) error {
	if what := job.ActionFeature(kind); kind != job.Update && !slices.Contains(s.actions(), what) || !s.updates() {
		return fmt.Errorf("the server ordered a job of the kind %q, which this system cannot do",
			job.Printable(string(kind)))
	}
	return nil
}

// actions are the features of the actions that this system carries out.
func (s *service) actions() []string {
	all := []string{job.FeatureReboot, job.FeatureRollback}
	if s.Runs != nil && s.Runs() {
		all = append(all, job.FeatureRun)
	}
	return all
}

// noUnits is what the service reports on a system that was installed before there were updates. Its sandbox lets it
// install nothing.
const noUnits = "this system was installed before there were updates, and gets none: run `griddle-agent update " +
	"--set-up` on it, or update it from the network"

// damageTime is how long the service reports an image that is damaged. The history has it longer.
const damageTime = 7 * 24 * time.Hour

// damage is what the service reports of the image that turned out to be damaged last, "" for nothing.
func damage(all []history.Event, now time.Time) string {
	for _, e := range slices.Backward(all) {
		if e.Kind == history.Damaged && now.Sub(e.Time) < damageTime {
			return fmt.Sprintf("the image %s in its pool may be damaged, and updates do not start from it: look at "+
				"its disk, and at `griddle-agent history` on it", job.Printable(e.Image))
		}
	}
	return ""
}

// updates says whether this system can carry out an update.
func (s *service) updates() bool { return s.Updates != nil && s.Updates() }

// look is how often the service looks whether an update has something to report. The server takes a check-in every
// five seconds.
const look = 6 * time.Second

// rest waits until the next check-in. With early, it ends when an update has something to report.
func (s *service) rest(ctx context.Context, pause time.Duration, early bool) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if early {
		go func() {
			for sleep(ctx, look); ctx.Err() == nil; sleep(ctx, look) {
				if s.orders.Changed() != s.told {
					stop()
				}
			}
		}()
	}
	s.Wait(ctx, pause)
}
