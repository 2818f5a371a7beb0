package resident

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/site"
	"griddle/appliance/site/notice"
	"griddle/imagestore/head"
	"griddle/imagestore/minisign"
	"griddle/initramfs/machinekey"
	"griddle/initramfs/resident/order"
	"griddle/initramfs/resident/program"
)

// ca is a CA and a certificate of it for 127.0.0.1.
type ca struct {
	pem  string
	leaf tls.Certificate
}

func newCA(t testing.TB, expires time.Time) ca {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	make := func(c, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		if parent == nil {
			parent, parentKey = c, k
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &k.PublicKey, parentKey)
		must(err)
		out, err := x509.ParseCertificate(der)
		must(err)
		return out, k
	}
	root, key := make(&x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: begin,
		NotAfter: expires.AddDate(9, 0, 0), IsCA: true, BasicConstraintsValid: true}, nil, nil)
	leaf, leafKey := make(&x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: begin, NotAfter: expires,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, root, key)
	return ca{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})),
		tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: leafKey}}
}

// server is a site's server.
type server struct {
	*httptest.Server
	plain *httptest.Server
	key   *minisign.SecretKey

	mu     sync.Mutex
	ca     ca
	status int // of its answers, 0 for 200
	head   []byte
	notice []byte
	agent  []byte
	got    []job.CheckIn
	keys   []string

	job       *job.Spec // for the machine
	cancelled bool
	over      bool // its action
}

func newServer(t testing.TB) *server {
	t.Helper()
	key, err := minisign.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{key: key, ca: newCA(t, time.Now().AddDate(1, 0, 0))}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.checkIn))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequestClientCert,
			Certificates: []tls.Certificate{s.ca.leaf}}, nil
	}}
	s.StartTLS()
	t.Cleanup(s.Close)
	s.plain = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(s.agent) }))
	t.Cleanup(s.plain.Close)
	return s
}

func (s *server) checkIn(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var in job.CheckIn
	if r.URL.Path != job.CheckInPath || json.NewDecoder(r.Body).Decode(&in) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.got, s.keys = append(s.got, in), append(s.keys, job.KeyOf(r.TLS))
	if s.status != 0 {
		w.WriteHeader(s.status)
		json.NewEncoder(w).Encode(job.NewProblem(s.status, "no machine has the key"))
		return
	}
	json.NewEncoder(w).Encode(job.CheckedIn{Time: time.Now(), Machine: "web1", Next: 300, Head: s.head,
		Notice: s.notice, Job: s.job, Cancelled: s.cancelled, ActionOver: s.over})
}

// says makes the notice with that number.
func (s *server) says(t testing.TB, seq int64, bundle string, a *notice.Agent) []byte {
	t.Helper()
	b, err := notice.Notice{Seq: seq, Time: time.Now(), At: s.site(bundle), Agent: a}.Sign(s.key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (s *server) site(bundle string) site.Site {
	return site.Site{HTTP: s.plain.URL, HTTPS: s.URL, CA: bundle, Trusted: []string{s.key.Public().String()},
		Catalog: site.Catalog{Key: s.key.Public().String(), Seq: 1}}
}

// machine is an installed machine of the site.
func machine(t testing.TB, s *server) Options {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	key, err := job.NewKey()
	if err == nil {
		err = machinekey.Keep(root, key)
	}
	var b []byte
	if err == nil {
		b, err = json.Marshal(Config{Machine: "web1", Site: s.site(s.ca.pem), Installed: time.Now().Add(-time.Hour)})
	}
	p := program.Program{Dir: t.TempDir()}
	if err == nil {
		err = errors.Join(os.WriteFile(filepath.Join(dir, ConfigFile), b, 0o600),
			os.WriteFile(filepath.Join(p.Dir, program.Name), []byte("old"), 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	return Options{Dir: dir, Agent: p, Version: "1", Built: 1, Root: "@roots/web", Run: t.TempDir()}
}

// rounds runs the service until it has waited n times, and returns the pauses.
func rounds(t testing.TB, o Options, n int) (pauses []time.Duration, err error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	o.Wait = func(_ context.Context, d time.Duration) {
		if pauses = append(pauses, d); len(pauses) == n {
			stop()
		}
	}
	return pauses, Run(ctx, o)
}

func TestCheckIn(t *testing.T) {
	s := newServer(t)
	o := machine(t, s)
	h, err := head.Head{Seq: 7, SHA256: strings.Repeat("ab", 32), Time: time.Now()}.Sign(s.key)
	if err != nil {
		t.Fatal(err)
	}
	s.head, s.notice = h, s.says(t, 3, s.ca.pem, nil)
	pauses, err := rounds(t, o, 2)
	first := job.CheckIn{Agent: "1", Root: "@roots/web", Boot: order.Boot()}
	if err != nil || len(s.got) != 2 || !reflect.DeepEqual(s.got[0], first) ||
		s.got[1].Notice != 3 || s.keys[0] == "" || s.keys[0] != s.keys[1] {
		t.Errorf("the server got %+v with the keys %v, %v", s.got, s.keys, err)
	}
	if p := pauses[0]; p < 225*time.Second || p > 375*time.Second {
		t.Errorf("the pause is %s, want 300 s about", p)
	}
	if seen, err := head.OpenSeenDir(filepath.Join(o.Dir, "seen")).Of(s.key.Public()); err != nil || seen.Seq != 7 {
		t.Errorf("the head that is kept is %+v, %v", seen, err)
	}
	if _, err := rounds(t, o, 1); err != nil || s.got[2].Notice != 3 {
		t.Errorf("after a restart the server got %+v, %v", s.got[2], err)
	}
	if err := Check(t.Context(), o); err != nil {
		t.Errorf("Check() = %v", err)
	}
}

// TestNextCAFollows: a machine that has seen both CAs follows the server from one to the other, and one that has not
// does not trust it.
func TestNextCAFollows(t *testing.T) {
	s := newServer(t)
	awake, asleep := machine(t, s), machine(t, s)
	next := newCA(t, time.Now().AddDate(1, 0, 0))
	s.notice = s.says(t, 3, s.ca.pem+next.pem, nil)
	if _, err := rounds(t, awake, 1); err != nil || len(s.got) != 1 {
		t.Fatalf("checking in = %v", err)
	}
	s.mu.Lock()
	s.ca, s.notice = next, s.says(t, 4, next.pem, nil)
	s.mu.Unlock()
	if _, err := rounds(t, awake, 2); err != nil || len(s.got) != 3 || s.got[2].Notice != 4 {
		t.Errorf("with the next CA the server got %+v, %v", s.got, err)
	}
	if _, err := rounds(t, asleep, 1); err != nil || len(s.got) != 3 {
		t.Errorf("a machine that does not know the CA checked in: %+v, %v", s.got, err)
	}
	if err := Check(t.Context(), asleep); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("Check() = %v", err)
	}
}

// TestHostileNotices: what the site did not sign, and what is older, is not taken, and the server's operators learn it.
func TestHostileNotices(t *testing.T) {
	s, other := newServer(t), newServer(t)
	o := machine(t, s)
	s.notice = s.says(t, 5, s.ca.pem, nil)
	good := s.notice
	if _, err := rounds(t, o, 1); err != nil {
		t.Fatal(err)
	}
	h, err := head.Head{Seq: 7, SHA256: strings.Repeat("ab", 32), Time: time.Now()}.Sign(other.key)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		head, notice []byte
		want         string
	}{
		"another site's notice": {nil, other.says(t, 9, s.ca.pem, nil), "is not trusted here"},
		"an older notice":       {nil, s.says(t, 4, s.ca.pem, nil), "older than one that this machine has seen"},
		"no notice":             {nil, []byte("x"), "signature"},
		"another site's head":   {h, good, "is not trusted here"},
	} {
		s.head, s.notice, s.got = c.head, c.notice, nil
		if _, err := rounds(t, o, 2); err != nil || len(s.got) != 2 || s.got[1].Notice != 5 ||
			!strings.Contains(s.got[1].Trouble, c.want) {
			t.Errorf("%s: the server got %+v, %v, want trouble with %q", name, s.got, err, c.want)
		}
		if b, err := os.ReadFile(filepath.Join(o.Dir, "notice")); err != nil || string(b) != string(good) {
			t.Errorf("%s: the notice that is kept is %.80s, %v", name, b, err)
		}
	}
}

// TestClock: a machine whose clock is years off checks in.
func TestClock(t *testing.T) {
	s := newServer(t)
	for _, year := range []int{1970, 2019, 2099} {
		o := machine(t, s)
		o.Now = func() time.Time { return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC) }
		var said bytes.Buffer
		o.Log = slog.New(slog.NewTextHandler(&said, nil))
		s.got = nil
		if _, err := rounds(t, o, 1); err != nil || len(s.got) != 1 {
			t.Errorf("in %d the server got %+v, %v", year, s.got, err)
		}
		if !strings.Contains(said.String(), "the clock of this machine differs from the server's; set it") {
			t.Errorf("in %d the journal has %s", year, &said)
		}
	}
	// A certificate that expired before the install, or before the newest notice, does not count, whatever the clock
	// says.
	o := machine(t, s)
	s.ca = newCA(t, time.Now().Add(-2*time.Hour))
	conf := Config{Site: s.site(s.ca.pem), Installed: time.Now().Add(-time.Hour)}
	b, err := json.Marshal(conf)
	if err == nil {
		err = os.WriteFile(filepath.Join(o.Dir, ConfigFile), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, year := range []int{2025, 2099} {
		o.Now = func() time.Time { return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC) }
		if err := Check(t.Context(), o); err == nil {
			t.Errorf("in %d an expired certificate counts", year)
		}
	}
}

// TestUnknown: a machine that the server does not know calls less and less.
func TestUnknown(t *testing.T) {
	s := newServer(t)
	s.status = http.StatusUnauthorized
	pauses, err := rounds(t, machine(t, s), 12)
	if err != nil || len(s.got) != 12 {
		t.Fatalf("the server got %d check-ins, %v", len(s.got), err)
	}
	if pauses[0] > 15*time.Second || pauses[11] < 10*time.Minute || pauses[11] > 20*time.Minute {
		t.Errorf("the pauses are %v", pauses)
	}
}

func offer(b []byte, built int64) *notice.Agent {
	sum := sha256.Sum256(b)
	return &notice.Agent{Version: "2", Built: built, Size: int64(len(b)), SHA256: hex.EncodeToString(sum[:]),
		Path: "/boot/griddle-agent"}
}

// TestRenew takes a newer agent, and leaves one that does not work here.
func TestRenew(t *testing.T) {
	s := newServer(t)
	o := machine(t, s)
	s.agent = []byte("young")
	s.notice = s.says(t, 3, s.ca.pem, offer(s.agent, 2))
	tries := 0
	o.Start = func(_ context.Context, path string) error {
		tries++
		if b, err := os.ReadFile(path); err != nil || string(b) != "young" {
			t.Errorf("the candidate is %q, %v", b, err)
		}
		return errors.New("exit status 1")
	}
	has := func() string {
		b, err := os.ReadFile(filepath.Join(o.Agent.Dir, program.Name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if _, err := rounds(t, o, 4); err != nil || has() != "old" || tries != 1 ||
		!strings.Contains(s.got[3].Trouble, "trying the agent 2: exit status 1") {
		t.Errorf("after %d tries the program is %s, and the server got %+v, %v", tries, has(), s.got, err)
	}
	o.Start = func(context.Context, string) error { return nil }
	if _, err := rounds(t, o, 4); !errors.Is(err, ErrReplaced) || has() != "young" {
		t.Errorf("the program is %s, %v, want ErrReplaced", has(), err)
	}
	o.Version, o.Built = "2", 2
	s.notice = s.says(t, 4, s.ca.pem, offer([]byte("aged"), 1))
	if _, err := rounds(t, o, 2); err != nil || has() != "young" {
		t.Errorf("an older agent was taken: %s, %v", has(), err)
	}
}

// TestLostKey: a key that the TPM does not open any more is not replaced by another one.
func TestLostKey(t *testing.T) {
	s := newServer(t)
	o := machine(t, s)
	err := os.Rename(filepath.Join(o.Dir, machinekey.File), filepath.Join(o.Dir, machinekey.SealedFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rounds(t, o, 2); err != nil || len(s.got) != 0 {
		t.Errorf("the server got %+v, %v", s.got, err)
	}
	files, err := filepath.Glob(o.Dir + "/machine.key*")
	if err != nil || len(files) != 1 {
		t.Errorf("there are the keys %v, %v", files, err)
	}
}
