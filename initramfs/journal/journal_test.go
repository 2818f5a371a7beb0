package journal

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"griddle/appliance/job"

	"github.com/google/go-cmp/cmp"
)

// server is the other side of a journal in tests: away for the first calls, and then keeping what comes.
type server struct {
	away   int
	got    []job.Event
	cancel bool
}

func (s *server) events(_ context.Context, e job.Events) (job.Acknowledged, error) {
	if s.away > 0 {
		s.away--
		return job.Acknowledged{}, errors.New("connection refused")
	}
	for _, ev := range e.Events {
		if n := len(s.got); n == 0 || ev.Seq > s.got[n-1].Seq {
			s.got = append(s.got, ev)
		}
	}
	return job.Acknowledged{Seq: s.got[len(s.got)-1].Seq, Cancelled: s.cancel}, nil
}

func progress(done int64) job.Event {
	return job.Event{Job: "j", Phase: job.PhaseReceive, Progress: &job.Progress{Done: done}}
}

func TestJournalDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{away: 5}
		shown := 0
		j := New(slog.New(slog.DiscardHandler), "boot", func(e job.Event) {
			if e.Seq > 0 {
				shown++
			}
		}, s.events)
		j.Begin("j", nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { j.Run(ctx); close(done) }()
		j.Event(job.Event{Job: "j", Phase: job.PhaseCheck, Message: "first"})
		if err := j.Started(ctx, "serial-1"); err != nil {
			t.Fatal(err)
		}
		if n := len(s.got); n != 2 || s.got[1].State != job.Started || s.got[1].Disk != "serial-1" ||
			s.got[1].Job != "j" {
			t.Fatalf("when Started returned the server had %+v", s.got)
		}
		s.away = 3
		for i := range 10 {
			j.Event(progress(int64(i)))
			synctest.Wait()
		}
		j.Event(job.Event{Job: "j", Phase: job.PhaseFinish, State: job.Done})
		if err := j.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		<-done
		var seqs []uint64
		for _, e := range s.got {
			seqs = append(seqs, e.Seq)
		}
		// Of ten reports of progress, the one that was on its way and the newest were kept; no number is missing.
		if diff := cmp.Diff([]uint64{1, 2, 3, 4, 5}, seqs); diff != "" {
			t.Errorf("numbers (-want +got):\n%s", diff)
		}
		if got := s.got[3].Progress.Done; got != 9 {
			t.Errorf("newest progress = %d, want 9", got)
		}
		if shown != 13 {
			t.Errorf("shown %d events, want all 13", shown)
		}
	})
}

func TestJournalCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{cancel: true}
		j := New(slog.New(slog.DiscardHandler), "boot", func(job.Event) {}, s.events)
		ctx, stop := context.WithCancel(t.Context())
		times := 0
		j.Begin("j", func() { times++ })
		done := make(chan struct{})
		go func() { j.Run(ctx); close(done) }()
		j.Event(progress(1))
		synctest.Wait()
		j.Event(progress(2))
		synctest.Wait()
		stop()
		<-done
		if times != 1 {
			t.Errorf("cancelled %d times, want once", times)
		}
	})
}

// TestPoll: while there is nothing to report, a cancelled job ends too, and the server's journal stays as it is.
func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		j := New(slog.New(slog.DiscardHandler), "boot", func(job.Event) {}, s.events)
		ctx, stop := context.WithCancel(t.Context())
		cancelled := false
		j.Begin("j", func() { cancelled = true })
		if err := j.Poll(ctx); err != nil || len(s.got) > 0 {
			t.Errorf("before the first report: %v, the server has %v", err, s.got)
		}
		done := make(chan struct{})
		go func() { j.Run(ctx); close(done) }()
		j.Event(progress(1))
		synctest.Wait()
		if err := j.Poll(ctx); err != nil || cancelled {
			t.Errorf("poll of a job that is not over: %v, cancelled %t", err, cancelled)
		}
		s.cancel = true
		if err := j.Poll(ctx); err != nil || !cancelled || len(s.got) != 1 {
			t.Errorf("poll: %v, cancelled %t, the server has %v", err, cancelled, s.got)
		}
		stop()
		<-done
	})
}

func TestStartedRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{cancel: true}
		j := New(slog.New(slog.DiscardHandler), "boot", func(job.Event) {}, s.events)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { j.Run(ctx); close(done) }()
		work, cancel := context.WithCancelCause(ctx)
		errCancelled := errors.New("the server has ended this job")
		j.Begin("j", func() { cancel(errCancelled) })
		if err := j.Started(work, "serial-1"); !errors.Is(err, errCancelled) {
			t.Errorf("Started = %v, want %v", err, errCancelled)
		}
		stop()
		<-done
	})
}

// TestStartedIsHeldUp: whoever waits at the screen sees why nothing goes on.
func TestStartedIsHeldUp(t *testing.T) {
	for name, send := range map[string]func(context.Context, job.Events) (job.Acknowledged, error){
		"refused": func(context.Context, job.Events) (job.Acknowledged, error) {
			return job.Acknowledged{}, errors.New("token is not valid")
		},
		// As from a server whose state was restored from a copy. Asking again at once would only flood it.
		"not taken": func(context.Context, job.Events) (job.Acknowledged, error) {
			return job.Acknowledged{Seq: 0}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var shown []job.Event
				j := New(slog.New(slog.DiscardHandler), "boot", func(e job.Event) {
					mu.Lock()
					defer mu.Unlock()
					shown = append(shown, e)
				}, send)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				done := make(chan struct{})
				go func() { j.Run(ctx); close(done) }()
				if err := j.Started(ctx, "serial-1"); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Started = %v, want that it waits", err)
				}
				<-done
				warnings := 0
				for _, e := range shown {
					if e.Level == job.Warning && e.Job == "" && e.Message != "" {
						warnings++
					}
				}
				if warnings < 3 || warnings > 10 {
					t.Errorf("%d warnings in a minute, want some", warnings)
				}
			})
		})
	}
}
