package appliance

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/appliance/account"
	"griddle/appliance/api"
	"griddle/appliance/config"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/publishtoken"
	"griddle/imagestore"
	"griddle/imagestore/catalog"
	"griddle/imagestore/content"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/minisign"
	"griddle/imagestore/multicast/coordinator"
	"griddle/imagestore/sendstream"
)

// running is a server whose two handlers are behind test listeners.
type running struct {
	*server
	t             testing.TB
	plain, secure *httptest.Server
	key           *minisign.SecretKey // of a publisher of web*
	tokens        map[string]string   // by who has it, see callersInOrder
	image         catalog.Publication
	services      map[string]*http.Client // they prove the keys of installed machines, by who they are
}

// newRunning starts one with an image, a publisher and three machines, of which two have a job. The thief has the token
// of one of them, without the key of its boot. Two more machines are installed, and one of them has an update.
func newRunning(t testing.TB, images string) *running {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	st, err := openState(filepath.Join(t.TempDir(), "state"))
	must(err)
	t.Cleanup(func() { st.close() })
	conf := config.Default()
	conf.Images = images
	conf.StateDir = st.dir
	s := &server{config: conf, now: time.Now, state: st, log: slog.New(slog.DiscardHandler)}
	s.live.Store(&live{config: conf})
	s.store, err = imagestore.Open(filepath.Join(st.dir, "store"))
	must(err)
	site, err := st.siteKey(ctx, s.store)
	must(err)
	must(s.store.KeepHead(ctx, site, time.Hour))
	s.fleet, err = fleet.Open(ctx, st.path(fleetFile), fleet.Options{Sealer: st.sealer()})
	must(err)
	t.Cleanup(func() { s.fleet.Close() })
	s.streams, err = coordinator.New(coordinator.Options{Off: true, Groups: conf.Multicast.Groups,
		Port: 7469, Open: s.encoding})
	must(err)
	t.Cleanup(func() { s.streams.Close() })
	s.accounts, err = account.Open(ctx, st.path(accountFile), nil)
	must(err)
	t.Cleanup(func() { s.accounts.Close() })
	s.log = slog.New(slog.DiscardHandler)
	admin, err := st.adminToken()
	must(err)
	r := &running{server: s, t: t, services: map[string]*http.Client{},
		tokens: map[string]string{"": "", "wrong": "wrong", "administrator": admin}}
	r.admit(t)
	r.key, err = minisign.GenerateKey()
	must(err)
	grant, err := document.NewGrant(r.key.Public(), "web*")
	must(err)
	must(s.store.Grant(ctx, catalog.Granting{Key: grant.String()}))
	r.image = publishRaw(t, s.store, r.key, "web:1@amd64", []byte("a stream"))
	mux := http.NewServeMux()
	r.secure = httptest.NewUnstartedServer(mux)
	r.secure.EnableHTTP2 = true
	r.secure.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	r.secure.StartTLS()
	t.Cleanup(r.secure.Close)
	s.api, err = api.New(api.Options{Fleet: s.fleet, Accounts: s.accounts, Images: storeImages(s.store),
		Names:   names{s.store},
		Streams: streams{s.streams},
		Sources: []string{r.secure.URL}, Home: r.secure.URL, Admin: admin, Private: images == config.ImagesPrivate})
	must(err)
	s.callers, s.limits, s.ready = s.newCallers(), newLimits(), s.readiness()
	s.metrics = s.measured()
	mux.Handle("/", s.limits.inTurn(s.callers.acquainted, s.secureHandler()))
	root, err := os.OpenRoot(t.TempDir())
	must(err)
	t.Cleanup(func() { root.Close() })
	r.plain = httptest.NewServer(s.plainHandler(http.NotFoundHandler(), root))
	t.Cleanup(r.plain.Close)
	r.tokens["publisher"], err = publishtoken.Make(st.dir, r.key.Public(), time.Now())
	must(err)
	conf2, err := job.PinnedTLS(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.secure.Certificate().Raw}))
	must(err)
	operator := api.NewClient(r.secure.URL, admin, conf2)
	for _, mac := range []string{"52:54:00:00:00:01", "52:54:00:00:00:03"} {
		_, err = operator.Install(ctx, mac, api.Install{Image: "web", Disk: "largest"})
		must(err)
	}
	key, err := job.NewKey()
	must(err)
	proved := conf2.Clone()
	proved.Certificates = []tls.Certificate{key}
	for i, who := range []string{"boot", "idle", "thief"} {
		conf := conf2
		if who == "thief" {
			conf = proved
		}
		w, err := job.NewClient(r.secure.URL, conf).Hello(ctx,
			job.Hello{Boot: fmt.Sprintf("7b7c0bd0-4a3a-4b94-b0ac-6c4a0c1f9f0%d", i+1),
				Identity: job.Identity{MACs: []string{fmt.Sprintf("52:54:00:00:00:0%d", i+1)}},
				Sources:  []string{job.SourceHTTPS}})
		must(err)
		r.tokens[who] = w.Token
	}
	r.serve(t, "service", "5", proved)
	second, err := job.NewKey()
	must(err)
	proved = proved.Clone()
	proved.Certificates = []tls.Certificate{second}
	r.serve(t, "updating", "6", proved)
	_, err = job.NewClient(r.secure.URL, proved).CheckIn(ctx, job.CheckIn{})
	must(err)
	_, _, err = s.fleet.Install(ctx, "52:54:00:00:00:06", fleet.Order{Kind: job.Update,
		Image: job.Image{Ref: "web:1@amd64"}})
	must(err)
	return r
}

// serve has the key of conf install a machine, so that the system there may check in. It has no token.
func (r *running) serve(t testing.TB, who, number string, conf *tls.Config) {
	t.Helper()
	ctx, mac, boot := t.Context(), "52:54:00:00:00:0"+number, "7b7c0bd0-4a3a-4b94-b0ac-6c4a0c1f9f0"+number
	_, j, err := r.fleet.Install(ctx, mac, fleet.Order{Image: job.Image{Ref: "web:1@amd64"}, Disk: "largest"})
	if err != nil {
		t.Fatal(err)
	}
	agent := job.NewClient(r.secure.URL, conf)
	if _, err := agent.Hello(ctx, job.Hello{Boot: boot, Identity: job.Identity{MACs: []string{mac}},
		Sources: []string{job.SourceHTTPS}}); err != nil {
		t.Fatal(err)
	}
	if _, err := agent.Events(ctx, job.Events{Boot: boot, Events: []job.Event{
		{Seq: 1, Job: j.Spec.ID, State: job.Started, Disk: "S1"},
		{Seq: 2, Job: j.Spec.ID, State: job.Done}}}); err != nil {
		t.Fatal(err)
	}
	r.tokens[who] = who
	r.services[who] = &http.Client{Transport: &http.Transport{TLSClientConfig: conf.Clone(), ForceAttemptHTTP2: true}}
}

func storeImages(st *imagestore.Store) api.Images { return images{st} }

// publishRaw publishes an image whose one stream is raw, which is none that could be received.
func publishRaw(t testing.TB, st *imagestore.Store, k *minisign.SecretKey, ref string, raw []byte) catalog.Publication {
	t.Helper()
	p := putRaw(t, st, k, ref, raw)
	if _, err := st.Add(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return p
}

// putRaw stores all of such an image but for the line of the catalog.
func putRaw(t testing.TB, st *imagestore.Store, k *minisign.SecretKey, ref string, raw []byte) catalog.Publication {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var text bytes.Buffer
	root := content.Entry{Type: content.Directory, Path: ".", Mode: 0o755}
	_, err := (&content.Manifest{Entries: []content.Entry{root}}).WriteTo(&text)
	must(err)
	c, err := st.PutContent(ctx, text.Bytes())
	must(err)
	id := document.Identity{Ref: ref, UUID: sendstream.UUID{1}, Ctransid: 7, Content: c}
	e, err := encoding.Encoder{}.Encode(ctx, bytes.NewReader(raw), st.Blobs)
	must(err)
	image, err := st.PutImage(ctx, document.Image{Identity: id, Published: time.Unix(1.7e9, 0), Size: 1, Files: 1}, k)
	must(err)
	stream, err := st.PutStream(ctx, document.Stream{Image: id, Raw: e.Raw, Pieces: e.Pieces}, k)
	must(err)
	return catalog.Publication{Image: image, Streams: []catalog.StreamBlobs{{Document: stream, Index: e.Index}}}
}

// ask sends one request and returns its status.
func (r *running) ask(base, method, path, token, body string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequest(method, base+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	client := r.secure.Client()
	if service := r.services[token]; service != nil {
		client = service
	} else if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") { // it has no end: its first message
		in := bufio.NewScanner(resp.Body)
		for in.Scan() && in.Text() != "" {
			fmt.Fprintln(&b, in.Text())
		}
		return resp.StatusCode, b.String()
	}
	b.ReadFrom(resp.Body)
	return resp.StatusCode, b.String()
}
