package appliance

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/appliance/api"
	"griddle/appliance/authority"
	"griddle/appliance/config"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/site/notice"
	"griddle/imagestore/head"
	"griddle/initramfs/machinekey"
	"griddle/initramfs/resident"
	"griddle/initramfs/resident/program"
)

// siteWithMachine is a server with the TLS and the boot files of a real one, and an installed machine of it.
type siteWithMachine struct {
	*running
	mac     string
	machine resident.Options
	clock   time.Time // of the fleet
}

func newSiteWithMachine(t *testing.T) *siteWithMachine {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	r := newRunning(t, config.ImagesPublic)
	var err error
	r.log, r.bootDir, r.addr = slog.New(slog.DiscardHandler), t.TempDir(), netip.MustParseAddr("127.0.0.1")
	s := &siteWithMachine{running: r, mac: "52:54:00:00:00:07", clock: time.Now()}
	must(r.fleet.Close())
	r.fleet, err = fleet.Open(t.Context(), r.state.path(fleetFile),
		fleet.Options{Now: func() time.Time { return s.clock }})
	must(err)
	r.authority, err = authority.Open(r.state.dir, r.addr, nil, time.Now)
	must(err)
	r.api, err = api.New(api.Options{Fleet: r.fleet, Accounts: r.accounts, Images: storeImages(r.store),
		Streams: streams{r.streams},
		Home:    "https://127.0.0.1", Admin: r.tokens["administrator"], Signed: &noticeKeeper{s: r.server}})
	must(err)
	files, err := os.OpenRoot(r.bootDir)
	must(err)
	t.Cleanup(func() { files.Close() })
	serve := func(h http.Handler, conf *tls.Config) int {
		s := httptest.NewUnstartedServer(h)
		if conf != nil {
			s.Listener = tls.NewListener(s.Listener, conf)
		}
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
		s.Start()
		t.Cleanup(s.Close)
		return s.Listener.Addr().(*net.TCPAddr).Port
	}
	r.config.HTTP = serve(r.plainHandler(http.NotFoundHandler(), files), nil)
	r.config.HTTPS = serve(r.secureHandler(), r.authority.TLSConfig())

	at, err := r.contents(t.Context())
	must(err)
	conf, err := json.Marshal(resident.Config{Machine: "web7", Site: at, Installed: time.Now().Add(-time.Hour)})
	must(err)
	s.machine = resident.Options{Dir: t.TempDir(), Agent: program.Program{Dir: t.TempDir()}, Version: "old", Built: 1,
		Root: "@roots/web-1@amd64"}
	must(os.WriteFile(filepath.Join(s.machine.Dir, resident.ConfigFile), conf, 0o600))
	must(os.WriteFile(filepath.Join(s.machine.Agent.Dir, program.Name), []byte("old"), 0o755))
	key, err := job.NewKey()
	must(err)
	dir, err := os.OpenRoot(s.machine.Dir)
	must(err)
	defer dir.Close()
	must(machinekey.Keep(dir, key))
	s.install(t, key)
	return s
}

// install has a boot with the key carry out the machine's install.
func (s *siteWithMachine) install(t *testing.T, key tls.Certificate) {
	t.Helper()
	ctx, boot := t.Context(), "7b7c0bd0-4a3a-4b94-b0ac-6c4a0c1f9f07"
	_, j, err := s.fleet.Install(ctx, s.mac, fleet.Order{Image: job.Image{Ref: "web:1@amd64"}, Disk: "largest"})
	if err != nil {
		t.Fatal(err)
	}
	conf, err := job.PinnedTLS(s.authority.Bundle())
	if err != nil {
		t.Fatal(err)
	}
	conf.Certificates = []tls.Certificate{key}
	agent := job.NewClient(s.httpsURL(), conf)
	w, err := agent.Hello(ctx, job.Hello{Boot: boot, Identity: job.Identity{MACs: []string{s.mac}}})
	if err != nil || w.Job == nil || !w.Job.Service {
		t.Fatalf("Hello() = %+v, %v, want a job with the service", w.Job, err)
	}
	if _, err := agent.Events(ctx, job.Events{Boot: boot, Events: []job.Event{
		{Seq: 1, Job: j.Spec.ID, State: job.Started, Disk: "S1"},
		{Seq: 2, Job: j.Spec.ID, State: job.Done}}}); err != nil {
		t.Fatal(err)
	}
}

// TestServiceFollowsTheSite tells an installed machine's life with its server: it learns of a revoked key, follows the
// server to another CA, takes a newer agent, and is a stranger when it was deleted.
func TestServiceFollowsTheSite(t *testing.T) {
	s := newSiteWithMachine(t)
	ctx := t.Context()
	show := func() *fleet.Service {
		t.Helper()
		v, _, err := s.fleet.Show(ctx, s.mac)
		if err != nil || v.Machine.Service == nil || v.Machine.Service.Trouble != "" {
			t.Fatalf("the machine's service is %+v, %v", v.Machine.Service, err)
		}
		return v.Machine.Service
	}
	// round has the service check in n times.
	round := func(n int) error {
		s.clock = s.clock.Add(time.Minute)
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		o := s.machine
		o.Start = func(context.Context, string) error { return nil }
		o.Wait = func(context.Context, time.Duration) {
			if s.clock = s.clock.Add(time.Minute); n == 1 {
				stop()
			}
			n--
		}
		return resident.Run(ctx, o)
	}
	kept := func() notice.Notice {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(s.machine.Dir, "notice"))
		if err != nil {
			t.Fatal(err)
		}
		n, err := notice.Open(b, s.store.Key.Public())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(round(2))
	first := kept()
	if got := show(); got.Agent != "old" || got.Root != "@roots/web-1@amd64" || got.From != "127.0.0.1" ||
		got.Notice != first.Seq {
		t.Errorf("the server shows %+v, and the machine has notice %d", got, first.Seq)
	}
	seen, err := head.OpenSeenDir(filepath.Join(s.machine.Dir, "seen")).Of(s.store.Key.Public())
	if err != nil || seen.Seq != first.At.Catalog.Seq {
		t.Errorf("the machine has seen the head %+v, %v", seen, err)
	}

	must(s.store.Revoke(ctx, s.key.Public()))
	_, err = authority.MakeNext(s.state.dir, time.Now())
	must(err)
	must(s.authority.Reread())
	must(round(2))
	if n := kept(); len(n.At.Limited) >= len(first.At.Limited) || strings.Count(n.At.CA, "BEGIN") != 2 {
		t.Errorf("the machine has the keys %v and the CAs %s", n.At.Limited, n.At.CA)
	}
	must(authority.Switch(s.state.dir))
	must(s.authority.Reread())
	must(round(2))
	if n := kept(); n.At.CA != string(s.authority.Bundle()) || show().Notice != n.Seq {
		t.Errorf("after the switch the machine has notice %d, the server shows %+v", n.Seq, show())
	}

	must(os.WriteFile(filepath.Join(s.bootDir, buildName), []byte(`{"version":"young","time":2}`), 0o644))
	must(os.WriteFile(filepath.Join(s.bootDir, agentName), []byte("young"), 0o644))
	if err := round(2); !errors.Is(err, resident.ErrReplaced) {
		t.Errorf("with a newer agent the service ends with %v, want ErrReplaced", err)
	}
	if b, err := os.ReadFile(filepath.Join(s.machine.Agent.Dir, program.Name)); err != nil || string(b) != "young" {
		t.Errorf("the agent is %q, %v", b, err)
	}
	s.machine.Version, s.machine.Built = "young", 2
	must(round(2))
	if got := show(); got.Agent != "young" {
		t.Errorf("the server shows %+v", got)
	}

	_, err = s.fleet.Delete(ctx, s.mac, false)
	must(err)
	if err := resident.Check(ctx, s.machine); err == nil || !strings.Contains(err.Error(), "no machine has the key") {
		t.Errorf("checking in after the machine was deleted = %v", err)
	}
}
