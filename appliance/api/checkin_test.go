package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// signed is a site that says something.
type signed struct{}

func (signed) Signed(context.Context) (head, notice []byte, err error) {
	return []byte("head\n"), []byte("notice\n"), nil
}

// newKeyed is a site whose TLS asks for the keys of clients, and returns a client's configuration for each key.
func newKeyed(t testing.TB) (*site, func(tls.Certificate) *tls.Config) {
	t.Helper()
	s := newSite(t)
	s.handler.o.Signed = signed{}
	s.Server = httptest.NewUnstartedServer(s.handler)
	s.Server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, func(c tls.Certificate) *tls.Config {
		conf := s.tls.Clone()
		conf.Certificates = []tls.Certificate{c}
		return conf
	}
}

// installMachine carries out an install with the key.
func installMachine(t testing.TB, s *site, conf *tls.Config, boot, mac string) {
	t.Helper()
	ctx := t.Context()
	_, err := NewClient(s.URL, adminToken, s.tls).Install(ctx, mac, Install{Image: "web", Disk: "largest"})
	if err != nil {
		t.Fatal(err)
	}
	agent := job.NewClient(s.URL, conf)
	w, err := agent.Hello(ctx, job.Hello{Boot: boot, Identity: job.Identity{MACs: []string{mac}}})
	if err != nil || w.Job == nil {
		t.Fatalf("Hello() = %+v, %v", w, err)
	}
	if _, err := agent.Events(ctx, job.Events{Boot: boot, Events: []job.Event{
		{Seq: 1, Job: w.Job.ID, State: job.Started, Disk: "S1"},
		{Seq: 2, Job: w.Job.ID, State: job.Done}}}); err != nil {
		t.Fatal(err)
	}
}

func newKey(t testing.TB) tls.Certificate {
	t.Helper()
	c, err := job.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	otherBoot = "7b7c0bd0-4a3a-4b94-b0ac-6c4a0c1f9f02"
	otherMAC  = "52:54:00:00:00:0b"
)

// TestHostileService: root on a machine checks in as it likes, and changes what is shown of its own machine alone.
func TestHostileService(t *testing.T) {
	ctx := t.Context()
	s, with := newKeyed(t)
	operator := NewClient(s.URL, adminToken, s.tls)
	mine, other := with(newKey(t)), with(newKey(t))
	installMachine(t, s, mine, bootID, mac)
	installMachine(t, s, other, otherBoot, otherMAC)
	now := time.Now() // what follows comes too soon after the first check-in, however long it takes
	s.stopped.Store(&now)
	in, err := job.NewClient(s.URL, mine).CheckIn(ctx, job.CheckIn{Agent: "1"})
	if err != nil || in.Machine != "node-52540000000a" || string(in.Head) != "head\n" ||
		string(in.Notice) != "notice\n" || in.Next < 60 || time.Since(in.Time) > time.Minute {
		t.Fatalf("CheckIn() = %+v, %v", in, err)
	}
	before, err := operator.Machine(ctx, otherMAC)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: mine}}
	post := func(body io.Reader, token string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, "POST", s.URL+job.CheckInPath, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := client.Do(req)
		if err != nil {
			return 0, err.Error() // it hung up
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	claim := fmt.Sprintf(`{"agent":"evil","machine":%q,"name":%q,"mac":%q,"uuid":"x","key":"y"}`, before.Name,
		before.Name, otherMAC)
	large := strings.Repeat(" ", 10<<20) + "{}"
	for name, c := range map[string]struct {
		body io.Reader
		want []int
	}{
		"another machine's name":     {strings.NewReader(claim), []int{429}},
		"10 MB":                      {strings.NewReader(large), []int{413, 0}},
		"10 MB of an unknown length": {io.MultiReader(strings.NewReader(large)), []int{413, 0}},
		"a long string":              {strings.NewReader(`{"agent":"` + strings.Repeat("x", 70000) + `"}`), []int{413}},
		"what is not JSON":           {strings.NewReader("\x00"), []int{400}},
		"two values":                 {strings.NewReader("{}{}"), []int{400}},
		"values of other types":      {strings.NewReader(`{"notice":"x"}`), []int{400}},
		"a number that is too large": {strings.NewReader(`{"notice":1e99}`), []int{400}},
		"JSON that is very deep":     {strings.NewReader(strings.Repeat("[", 4000)), []int{400}},
		"a body that is fine, again": {strings.NewReader(`{}`), []int{429}},
	} {
		status, said := post(c.body, adminToken)
		ok := false
		for _, want := range c.want {
			ok = ok || status == want
		}
		if !ok {
			t.Errorf("%s = %d %.300s, want %v", name, status, said, c.want)
		}
	}
	for range 200 { // a flood
		if status, said := post(strings.NewReader(claim), ""); status != http.StatusTooManyRequests {
			t.Fatalf("a check-in of a flood = %d %s", status, said)
		}
	}
	after, err := operator.Machine(ctx, otherMAC)
	if err != nil || after.Service != nil || !after.LastSeen.Equal(before.LastSeen) || after.Name != before.Name {
		t.Errorf("the other machine is %+v, %v", after, err)
	}
	if m, err := operator.Machine(ctx, mac); err != nil || m.Service == nil || m.Service.Agent != "1" {
		t.Errorf("the machine is %+v, %v", m, err)
	}
	if _, err := job.NewClient(s.URL, other).CheckIn(ctx, job.CheckIn{}); err != nil {
		t.Errorf("the other machine is not served: %v", err)
	}
}

// TestUnknownKey: those who prove no key of a machine are refused before their body is read, with what to do.
func TestUnknownKey(t *testing.T) {
	s, with := newKeyed(t)
	for name, conf := range map[string]*tls.Config{"no key": s.tls, "a new key": with(newKey(t))} {
		_, err := job.NewClient(s.URL, conf).CheckIn(t.Context(), job.CheckIn{})
		var p *job.Problem
		if !errors.As(err, &p) || p.Status != http.StatusUnauthorized ||
			!strings.Contains(p.Detail, "install it again") {
			t.Errorf("CheckIn() with %s = %v, want 401", name, err)
		}
	}
}

// FuzzCheckIn sends bodies of a machine that has a key: no answer is an error of the server.
func FuzzCheckIn(f *testing.F) {
	s, with := newKeyed(f)
	conf := with(newKey(f))
	installMachine(f, s, conf, bootID, mac)
	c, err := x509.ParseCertificate(conf.Certificates[0].Certificate[0])
	if err != nil {
		f.Fatal(err)
	}
	leaf := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}}
	for _, seed := range []string{`{}`, `{"agent":"1","root":"@roots/web","sealed":true,"notice":7,"trouble":"x"}`,
		`{"boot":"` + bootID + `","features":["update"],"roots":[{"name":"a","runs":true}],"job":{"id":"` + otherBoot +
			`","state":"done"},"fell":{"root":"a","lines":["x"]}}`, `{"job":null,"fell":{}}`, `{"agent":null}`,
		`[]`, "\xff", `{"notice":-1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest("POST", job.CheckInPath, bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.TLS = leaf
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		switch w.Code {
		case 200, 400, 413, 429:
		default:
			t.Errorf("%q = %d %s", body, w.Code, w.Body)
		}
		m, err := s.handler.o.Fleet.KeyOwner(t.Context(), job.KeyOf(leaf))
		if err != nil || m.Rank != fleet.Ordered {
			t.Errorf("afterwards the key has %+v, %v", m, err)
		}
	})
}
