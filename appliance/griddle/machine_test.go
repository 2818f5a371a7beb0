package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rogpeppe/go-internal/testscript"

	"griddle/appliance"
	"griddle/appliance/account"
	"griddle/appliance/api"
	"griddle/appliance/authority"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/seal"
	"griddle/appliance/setting"
	"griddle/imagestore/durable"
)

// shelf is a store with one image.
type shelf struct{}

func (shelf) Choices(context.Context) ([]job.ImageChoice, error) { return nil, nil }

func (shelf) Plan(_ context.Context, ref string, _ ...string) (job.Image, error) {
	named := strings.TrimSuffix(ref, "@amd64")
	version, ok := map[string]string{"web": "1", "web:1": "1", "web:stable": "2", "web:2": "2"}[named]
	if !ok {
		return job.Image{}, fmt.Errorf("%w: %s", api.ErrNoImage, ref)
	}
	return job.Image{Ref: "web:" + version + "@amd64", Size: 1000}, nil
}

func (shelf) Kernel(context.Context, job.Image) (out job.Image, err error) { return out, nil }

func (shelf) Updates(context.Context, job.Image) error { return nil }

func (shelf) For(asked, _ string) string { return asked }

func (shelf) Follow(context.Context, string, string) (string, error) { return "web:stable", nil }

func (shelf) Step(from, to string) api.Step { return api.Step{Older: to < from} }

func (shelf) Settings(context.Context, job.Image) ([]byte, error) { return nil, nil }

// TestMachineScripts runs testdata/machine/*.txtar beside an API that is found by the state directory $STATE. Beside
// the commands of programCommands there are: agent hello MAC [MODEL], which boots a machine; agent event JSON, which
// reports for the last one, "JOB" in it standing for its job; agent again, which says hello again, with $CODE set to
// the code that its screen shows; agent settings, which asks for the machine's settings and prints the answer, also
// with $CODE; agent recovery, which does the same for its recovery keys; agent key, which makes it another computer;
// agent home, which is its installed system; agent service JSON, which checks in for that, "JOB" in it standing for the
// update that it got last, and prints the image of the one that it gets; agent disks FILE, which are its disks from
// then on, and with which it carries out layouts; agent record JSON, which keeps a record of its job; agent job, which
// prints the layout and the plan of its job; hash FILE, which sets $HASH to the hash of plans as JSON; agent enrolment
// MODE, which is the server's; agent pass DURATION, which passes for the server.
func TestMachineScripts(t *testing.T) {
	agents := map[string]*fakeAgent{}
	commands := programCommands()
	commands["agent"] = func(ts *testscript.TestScript, neg bool, args []string) {
		a := agents[ts.Getenv("STATE")]
		err := a.do(args)
		if a.welcome.Approval != nil {
			ts.Setenv("CODE", a.welcome.Approval.Code)
		}
		if args[0] == "job" && a.welcome.Job != nil {
			fmt.Fprintf(ts.Stdout(), "%s %s\n", a.welcome.Job.Layout, a.welcome.Job.Plan)
		}
		if args[0] == "service" {
			fmt.Fprintln(ts.Stdout(), a.got)
		}
		if a.settings.State != "" {
			fmt.Fprintf(ts.Stdout(), "%s %s\n", a.settings.State, a.settings.Settings)
			ts.Setenv("CODE", a.settings.Code)
		}
		if (err != nil) != neg {
			ts.Fatalf("agent: %v", err)
		}
		if err != nil {
			fmt.Fprintln(ts.Stderr(), err)
		}
	}
	commands["hash"] = func(ts *testscript.TestScript, _ bool, args []string) {
		var all struct {
			Hash string `json:"hash"`
		}
		if err := json.Unmarshal([]byte(ts.ReadFile(args[0])), &all); err != nil || all.Hash == "" {
			ts.Fatalf("there is no hash: %v", err)
		}
		ts.Setenv("HASH", all.Hash)
	}
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/machine",
		Cmds: commands,
		Setup: func(e *testscript.Env) error {
			state := filepath.Join(e.WorkDir, "state")
			e.Setenv("STATE", state)
			e.Setenv("TZ", "UTC")
			agent, err := serveAPI(t, state)
			agents[state] = agent
			return err
		},
	})
}

// adminToken is the administrator's.
const adminToken = "0123456789abcdef0123456789abcdef"

func serveAPI(t *testing.T, state string) (*fakeAgent, error) {
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, err
	}
	a := &fakeAgent{}
	f, err := fleet.Open(t.Context(), filepath.Join(state, "fleet.db"), fleet.Options{
		Now:    func() time.Time { return time.Now().Add(a.ahead) },
		Sealer: seal.In(durable.Disk{}, filepath.Join(state, "settings.key"), "test")})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { f.Close() })
	site, err := setting.Decode("site", []byte(`{"zone":"Europe/Berlin"}`))
	if err != nil {
		return nil, err
	}
	accounts, err := account.Open(t.Context(), filepath.Join(state, "accounts.db"), nil)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { accounts.Close() })
	h, err := api.New(api.Options{Fleet: f, Accounts: accounts, Images: shelf{}, Names: shelf{}, Admin: adminToken,
		Site: func() setting.Document { return site }})
	if err != nil {
		return nil, err
	}
	srv := httptest.NewUnstartedServer(h)
	srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	for name, text := range map[string]string{appliance.URLFile: srv.URL, appliance.TokenFile: adminToken,
		authority.File: string(ca)} {
		if err := os.WriteFile(filepath.Join(state, name), []byte(text+"\n"), 0o600); err != nil {
			return nil, err
		}
	}
	conf, err := job.PinnedTLS(ca)
	if err != nil {
		return nil, err
	}
	a.url, a.tls, a.fleet = srv.URL, conf, f
	return a, a.newKey()
}

// fakeAgent says to the API what an agent would.
type fakeAgent struct {
	url      string
	tls      *tls.Config
	client   *job.Client
	fleet    *fleet.Fleet
	hello    job.Hello
	boot     string
	seq      uint64
	welcome  job.Welcome
	settings job.Settings
	ahead    time.Duration // of the server's clock
	disks    []job.Disk    // nil for an ordinary one
	update   *job.Spec     // that its service got last
	got      string        // by its service, now
}

// newKey makes it another computer.
func (a *fakeAgent) newKey() error {
	key, err := job.NewKey()
	conf := a.tls.Clone()
	conf.Certificates = []tls.Certificate{key}
	a.client = job.NewClient(a.url, conf)
	return err
}

func (a *fakeAgent) do(args []string) (err error) {
	ctx := context.Background()
	a.settings = job.Settings{}
	switch args[0] {
	case "key":
		return a.newKey()
	case "settings":
		a.settings, err = a.client.Settings(ctx)
	case "recovery":
		a.settings, err = a.client.Recovery(ctx, a.welcome.Job.ID)
	case "hello":
		h := job.Hello{Boot: uuid.NewString(),
			Features:  []string{job.FeatureSettings, job.FeatureUpdate, job.FeatureReset},
			Identity:  job.Identity{MACs: args[1:2]},
			Inventory: job.Inventory{Memory: 4e9, Disks: []job.Disk{{Path: "/dev/vda", Serial: "S1", Size: 20e9}}}}
		if a.disks != nil {
			h.Inventory.Disks, h.Features = a.disks, append(h.Features, job.FeatureLayout)
		}
		if len(args) > 2 {
			h.Identity.Product = args[2]
		}
		a.boot, a.seq, a.hello = h.Boot, 0, h
		a.welcome, err = a.client.Hello(ctx, h)
	case "again":
		a.welcome, err = a.client.Hello(ctx, a.hello)
		if err == nil && a.welcome.Job == nil {
			err = errors.New("it has no job")
		}
	case "disks":
		b, err := os.ReadFile(args[1])
		if err != nil {
			return err
		}
		a.disks = nil
		return json.Unmarshal(b, &a.disks)
	case "feature":
		a.hello.Features = append(a.hello.Features, args[1])
	case "record":
		return a.client.Record(ctx, a.welcome.Job.ID, json.RawMessage(args[1]))
	case "job":
	case "pass":
		d, err := time.ParseDuration(args[1])
		a.ahead += d
		return err
	case "service":
		return a.checkIn(ctx, args[1])
	case "enrolment":
		a.fleet.Reconfigure(fleet.Options{Enrolment: fleet.Enrolment(args[1])})
	case "event":
		var ev job.Event
		if err := json.Unmarshal([]byte(args[1]), &ev); err != nil {
			return err
		}
		a.seq++
		ev.Seq = a.seq
		if a.welcome.Job != nil {
			ev.Job = a.welcome.Job.ID
		}
		_, err = a.client.Events(ctx, job.Events{Boot: a.boot, Events: []job.Event{ev}})
	case "home":
		err = a.client.Home(ctx, job.Home{URL: a.url + job.HomePath, Token: a.welcome.Job.Home.Token},
			job.HomeReport{Hostname: a.welcome.Job.Hostname, Kernel: "6.1.0", HostKeys: args[1:],
				Addresses: []string{"192.0.2.5", "127.0.0.1"}})
	default:
		err = fmt.Errorf("unknown command %q", args[0])
	}
	return err
}

// checkIn is its service.
func (a *fakeAgent) checkIn(ctx context.Context, text string) error {
	if a.update != nil {
		text = strings.ReplaceAll(text, "JOB", a.update.ID)
	}
	in := job.CheckIn{Features: []string{job.FeatureUpdate, job.FeatureReset}}
	if err := json.Unmarshal([]byte(text), &in); err != nil {
		return err
	}
	a.ahead += 5 * time.Second
	out, err := a.client.CheckIn(ctx, in)
	if err != nil {
		return err
	}
	a.got = "nothing"
	if out.Job != nil {
		a.update, a.got = out.Job, out.Job.Image.Ref
	}
	return nil
}
