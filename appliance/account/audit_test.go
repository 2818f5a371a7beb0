package account

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// TestAudit writes calls, reads them in pages, and finds each change that someone makes to the log afterwards.
func TestAudit(t *testing.T) {
	s, _, _ := open(t)
	ctx := t.Context()
	for _, on := range []string{"pc1", "pc2<script>\x1b[31m", "pc3"} {
		c, err := s.Begin(ctx, Entry{Who: "ada", Role: Operator, Token: "t1", From: "10.0.0.9",
			Call: "POST /v1/machines/{key}/install", On: on})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.End(ctx, Done, 201, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Note(ctx, Entry{Who: "ada", Call: "POST /v1/login", Outcome: Refused, Status: 401}); err != nil {
		t.Fatal(err)
	}
	var seq int64
	prev := ""
	for pages := 0; ; pages++ {
		page, err := s.Entries(ctx, seq, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			if pages != 3 || seq != 7 {
				t.Errorf("%d pages end with entry %d", pages, seq)
			}
			break
		}
		if seq, prev, err = Check(seq, prev, page); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.Entries(ctx, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	if e := all[1]; e.Of != 1 || e.Outcome != Done || e.Status != 201 || e.On != "pc1" || e.At.IsZero() {
		t.Errorf("the end of the first call is %+v", e)
	}
	for name, change := range map[string]func([]Entry) []Entry{
		"another caller": func(e []Entry) []Entry { e[2].Who = "eve"; return e },
		"another digest": func(e []Entry) []Entry { e[2].Who = "eve"; e[2].Digest = e[2].digest(); return e },
		"one missing":    func(e []Entry) []Entry { return append(e[:2], e[3:]...) },
		"one missing, numbered again": func(e []Entry) []Entry {
			e = append(e[:2], e[3:]...)
			for i := range e {
				e[i].Seq = int64(i) + 1
			}
			return e
		},
		"the first missing":  func(e []Entry) []Entry { return e[1:] },
		"two changed places": func(e []Entry) []Entry { e[2], e[3] = e[3], e[2]; return e },
	} {
		if _, _, err := Check(0, "", change(append([]Entry(nil), all...))); !errors.Is(err, ErrChain) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAuditIsRefused has a log that cannot be written: no call begins. A call that began has its end written also if
// its client is gone.
func TestAuditIsRefused(t *testing.T) {
	s, _, _ := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	c, err := s.Begin(ctx, Entry{Who: "ada", Call: "x"})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := c.End(ctx, Failed, 500, ""); err != nil {
		t.Errorf("End() without a client = %v", err)
	}
	if _, err := s.db.ExecContext(t.Context(), "PRAGMA query_only = 1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Begin(t.Context(), Entry{Who: "ada", Call: "x"}); !errors.Is(err, ErrAudit) ||
		!strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("Begin() = %v", err)
	}
}

// TestAuditGoesOn opens the file again: the chain continues.
func TestAuditGoesOn(t *testing.T) {
	s, c, file := open(t)
	ctx := t.Context()
	if err := s.Note(ctx, Entry{Who: "ada", Call: "x", Outcome: Done}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(ctx, file, c.now)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Note(ctx, Entry{Who: "ada", Call: "y", Outcome: Done}); err != nil {
		t.Fatal(err)
	}
	all, err := s.Entries(ctx, 0, 10)
	if seq, _, cerr := Check(0, "", all); err != nil || cerr != nil || seq != 2 {
		t.Errorf("the log has %+v, %v, %v", all, err, cerr)
	}
	if _, err := s.db.ExecContext(ctx,
		"INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, file, c.now); err == nil || !strings.Contains(err.Error(), "use the program that wrote it") {
		t.Errorf("a file of a later version: %v", err)
	}
}
