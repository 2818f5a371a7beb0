package machine

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"griddle/appliance/api"
	"griddle/appliance/fleet"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

// TestWait orders three updates and waits: one is done, one fails after a while, and one machine has the image.
func TestWait(t *testing.T) {
	update := func(id string, s job.State, message string) *fleet.Job {
		return &fleet.Job{Spec: job.Spec{ID: id, Kind: job.Update, Image: job.Image{Ref: "web:2@amd64"}}, State: s,
			Message: message}
	}
	var looks atomic.Int32
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.Split(r.URL.Path, "/")[3]
		m := api.Machine{Name: name, ID: name}
		switch {
		case name == "has":
			m.Current, m.Deployed = true, &fleet.Deployment{Image: "web:2@amd64"}
		case r.Method == http.MethodPost:
			m.Job = update(name, job.Pending, "")
		case name == "good":
			m.Jobs = []fleet.Job{*update("other", job.Failed, "x"), *update(name, job.Done, "")}
		case looks.Add(1) == 1:
			w.WriteHeader(http.StatusServiceUnavailable) // the server restarts
			return
		default:
			m.Jobs = []fleet.Job{*update(name, job.Failed, "nginx.service failed\x1b[2J")}
		}
		json.NewEncoder(w).Encode(m)
	}))
	defer srv.Close()
	conf, err := job.PinnedTLS(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	if err != nil {
		t.Fatal(err)
	}
	var out, said bytes.Buffer
	m := &machines{e: &cli.Env{Stdout: &out, Stderr: &said}}
	client := api.NewClient(srv.URL, "t", conf)
	err = m.update(context.Background(), client, []string{"good", "bad", "has"}, api.Update{Image: "web"}, true)
	if err == nil || err.Error() != "updating bad to web:2@amd64: nginx.service failed [2J" {
		t.Errorf("update() = %q", err)
	}
	if out.String() != "good has web:2@amd64.\n" || !strings.Contains(said.String(), "has has web:2@amd64 already.") {
		t.Errorf("it prints %q and says %q", out.String(), said.String())
	}
}
