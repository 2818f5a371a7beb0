package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/initramfs/pool"
	"griddle/initramfs/pool/pooltest"
	pages "griddle/tui/care"

	tea "github.com/charmbracelet/bubbletea"
)

// What people decide on the pages is done to a real pool, and the answer is what the pool has then.
func TestCaring(t *testing.T) {
	made := pooltest.Installed(t)
	messages := make(chan tea.Msg, 1)
	var entered []string
	c := &carer{ctx: t.Context(), log: slog.New(slog.DiscardHandler), send: func(m tea.Msg) { messages <- m },
		places: func() ([]pool.Place, error) {
			return []pool.Place{{Disk: "/dev/vda", Size: 20e9, Job: pooltest.Job, Pool: made.Device,
				ESP: made.ESP}}, nil
		},
		enter: func(_ context.Context, s *pool.System) error {
			entered = append(entered, s.Name)
			return nil
		}}
	answer := func() tea.Msg {
		t.Helper()
		select {
		case m := <-messages:
			return m
		case <-time.After(time.Minute):
			t.Fatal("no answer")
			return nil
		}
	}
	c.actions().Look()
	p := answer().(pages.Pools).Pools[0]
	if p.Name != "/dev/vda (20.0 GB)" || p.System != "one@amd64" || p.Here || p.Problem != "" || len(p.Roots) != 3 ||
		len(p.Images) != 1 {
		t.Errorf("the pool is %+v", p)
	}
	for _, r := range p.Roots {
		if (r.Name == "one@amd64") != (r.Keep != "" && r.State == "boots") || (r.Name == "bare") != (r.NoBoot ==
			"it has no kernel") {
			t.Errorf("root %+v", r)
		}
	}
	do := func(r pages.Request) pages.Ended {
		t.Helper()
		r.Disk = "/dev/vda"
		c.actions().Do(r)
		return answer().(pages.Ended)
	}
	for _, s := range []struct {
		r    pages.Request
		said string
		err  string
	}{
		{pages.Request{Verb: pages.Change, Name: "hostname", Values: map[string]string{"name": "db-2"}},
			"The hostname is db-2", ""},
		{pages.Request{Verb: pages.Change, Name: "configure-now"}, "", "no configurator"},
		{pages.Request{Verb: pages.Change, Name: "bootloader"}, "", "is missing"},
		{pages.Request{Verb: pages.Change, Name: "shell"}, "The shell has ended.", ""},
		{pages.Request{Verb: pages.Enter, Name: "two@amd64"}, "The shell has ended.", ""},
		{pages.Request{Verb: pages.Boot, Name: "bare"}, "", "no kernel"},
		{pages.Request{Verb: pages.Boot, Name: "two@amd64"}, "From the next start on, two@amd64 boots.", ""},
		{pages.Request{Verb: pages.DeleteRoot, Name: "two@amd64"}, "", "that boots"},
		{pages.Request{Verb: pages.DeleteRoot, Name: "bare"}, "The root bare is deleted.", ""},
		{pages.Request{Verb: pages.DeleteImage, Name: "one@amd64"}, "The image one@amd64 is deleted.", ""},
	} {
		e := do(s.r)
		if got := strings.Join(e.Said, " "); !strings.HasPrefix(got, s.said) || s.said == "" && got != "" ||
			(e.Err == nil) != (s.err == "") || e.Err != nil && !strings.Contains(e.Err.Error(), s.err) {
			t.Errorf("%+v = %q, %v, want %q, %q", s.r, got, e.Err, s.said, s.err)
		}
		p = e.Pools[0]
	}
	if strings.Join(entered, " ") != "one@amd64 two@amd64" || p.System != "two@amd64" || len(p.Roots) != 2 ||
		len(p.Images) != 0 {
		t.Errorf("entered %v; the pool is %+v", entered, p)
	}
	name, err := os.ReadFile(filepath.Join(made.Top, "@roots/one@amd64/etc/hostname"))
	if string(name) != "db-2\n" {
		t.Errorf("the hostname is %q, %v", name, err)
	}
}

// Where the root that boots has no kernel, another one can be chosen.
func TestCaringWithoutKernel(t *testing.T) {
	made := pooltest.Installed(t)
	if err := os.RemoveAll(filepath.Join(made.Top, "@roots/one@amd64/boot")); err != nil {
		t.Fatal(err)
	}
	var p pages.Pool
	if err := readPool(pool.Place{Job: pooltest.Job, Pool: made.Device, ESP: made.ESP}, &p); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(p.Problem, "no kernel") || len(p.Roots) != 3 {
		t.Errorf("the pool is %+v", p)
	}
	for _, r := range p.Roots {
		if (r.NoBoot == "") != (r.Name == "two@amd64") {
			t.Errorf("root %+v", r)
		}
	}
}
