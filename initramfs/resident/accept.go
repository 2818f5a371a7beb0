package resident

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"griddle/appliance/site/notice"
	"griddle/imagestore/document"
	"griddle/imagestore/durable"
	"griddle/imagestore/head"
)

// Names in the service's folder.
const (
	noticeFile = "notice"
	seenDir    = "seen"
)

// loadNotice reads the newest notice. One that is not valid counts as none: the server sends it again.
func (s *service) loadNotice() {
	b, err := os.ReadFile(filepath.Join(s.Dir, noticeFile))
	if err == nil {
		s.notice, err = notice.Open(b, s.site)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.Log.Warn("the notice that was kept is not valid", "error", err)
	}
}

// acceptNotice keeps a notice that is newer than the one before. It is durable when it counts.
func (s *service) acceptNotice(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	n, err := notice.Open(b, s.site)
	if err == nil {
		err = n.Newer(s.notice)
	}
	if err != nil || n.Seq == s.notice.Seq {
		return err
	}
	if err := (durable.Disk{}).Replace(filepath.Join(s.Dir, noticeFile), b, 0o644); err != nil {
		return fmt.Errorf("keeping the site's notice: %w", err)
	}
	s.notice = n
	s.Log.Info("the site has a new notice", "number", n.Seq, "server", n.At.HTTPS)
	return nil
}

// acceptHead keeps a head of the catalog that is newer than the one before.
func (s *service) acceptHead(ctx context.Context, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	t := &document.Trust{}
	t.Allow(document.SiteGrant(s.site))
	h, k, err := head.Open(b, t)
	if err != nil {
		return err
	}
	return head.OpenSeenDir(filepath.Join(s.Dir, seenDir)).Accept(ctx, "", k, h, nil)
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
	a := s.notice.Agent
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
	if err := s.Agent.Fetch(ctx, client, s.notice.At.HTTP+a.Path, a); err != nil {
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
