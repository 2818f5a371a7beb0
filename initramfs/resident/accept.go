package resident

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/site/notice"
)

// accept keeps what the site signed, if it is newer than what was there before.
func (s *service) accept(ctx context.Context, out job.CheckedIn) error {
	err := s.at.AcceptHead(ctx, out.Head)
	newer, err2 := s.at.Accept(out.Notice)
	if newer {
		s.Log.Info("the site has a new notice", "number", s.at.Notice.Seq, "server", s.at.Notice.At.HTTPS)
	}
	return errors.Join(err, err2)
}

const (
	fetchTime = 30 * time.Minute // in which an agent has to arrive
	renewRest = time.Hour        // between two attempts to take the same agent
)

// attempt is the last one to take an agent, and why it failed.
type attempt struct {
	sum string
	at  time.Time
	err error
}

// renew takes the agent that the notice names, if it is newer than this one. One that could not be taken is tried again
// an hour later.
func (s *service) renew(ctx context.Context) error {
	a := s.at.Notice.Agent
	if ok, err := s.Agent.Wants(a, s.Built); err != nil || !ok {
		return err
	}
	if last := s.renewed; last.sum == a.SHA256 && s.Now().Sub(last.at).Abs() < renewRest {
		return last.err
	}
	err := s.take(ctx, *a)
	s.renewed = attempt{a.SHA256, s.Now(), err}
	return err
}

func (s *service) take(ctx context.Context, a notice.Agent) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	s.Log.Info("fetching a newer agent", "version", a.Version, "bytes", a.Size)
	// The contract has no redirects. What arrives counts by its hash alone.
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	if err := s.Agent.Fetch(ctx, client, s.at.Notice.At.HTTP+a.Path, a); err != nil {
		return err
	}
	if err := s.Start(ctx, s.Agent.Candidate()); err != nil {
		return fmt.Errorf("trying the agent %s: %w", a.Version, err)
	}
	if err := s.Agent.Replace(a); err != nil {
		return err
	}
	s.Log.Info("the agent was replaced", "version", a.Version)
	return ErrReplaced
}
