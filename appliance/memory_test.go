package appliance

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/appliance/account"
	"griddle/appliance/config"
	"griddle/appliance/fleet"
	"griddle/appliance/httpserver"
	"griddle/appliance/job"
	"griddle/appliance/quota/quotatest"
	"griddle/imagestore"
	"griddle/imagestore/minisign"
	"griddle/imagestore/remote"
)

// streamMemory is what a server may take while strangers hold all the streams that they can, in bytes. Without bounds
// 250 slow readers of raw streams made it take 2.9 GB.
const streamMemory = 640 << 20

// TestSlowStreamsAreBounded has 250 strangers at 20 addresses ask for raw streams and read nothing, of a server
// that a memory cgroup holds to streamMemory. It lives, refuses those that do not fit, and gives a machine with a
// job its stream meanwhile.
func TestSlowStreamsAreBounded(t *testing.T) {
	peak := quotatest.Confined(t, streamMemory, slowStreams)
	t.Logf("figure: 250 slow readers of raw streams, and a machine with a job, take %d MB", peak>>20)
}

func slowStreams(t *testing.T) {
	base := serveStreams(t)
	address := strings.TrimPrefix(base, "http://")
	taken, refused := 0, 0
	for i := range 250 {
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i%20+1))}}).Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.(*net.TCPConn).SetReadBuffer(4 << 10)
		fmt.Fprintf(c, "GET %s/stream?ref=web&format=raw HTTP/1.1\r\nHost: a\r\n\r\n", remote.ImagesPath)
		line, err := bufio.NewReaderSize(c, 64).ReadString('\n')
		switch {
		case err != nil:
			t.Fatalf("stranger %d: %v", i, err)
		case strings.Contains(line, "200"):
			taken++
		case strings.Contains(line, "503"):
			refused++
		default:
			t.Errorf("stranger %d got %q", i, line)
		}
	}
	if taken < 3 || refused < 100 {
		t.Errorf("%d strangers have a stream and %d were refused, want some to be served and most refused",
			taken, refused)
	}
	// The machine says who it is over TLS; here its token does so, and its address is known from then on.
	known := &http.Client{Transport: &http.Transport{
		DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 2, 1)}}).DialContext}}
	resp, err := known.Post(base+"/test/known", "text/plain", nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("making the machine known: %v, %v", resp, err)
	}
	resp.Body.Close()
	resp, err = known.Get(base + remote.ImagesPath + "/stream?ref=web&format=raw")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK || err != nil || n != rawStream {
		t.Errorf("a machine with a job got %d bytes, status %d, %v, want %d", n, resp.StatusCode, err, rawStream)
	}
}

const rawStream = 40 << 20 // bytes; random, so that frames are as long as what they hold

// serveStreams is the plain listener as Serve makes it, and returns its base URL.
func serveStreams(t *testing.T) string {
	st, err := openState(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := imagestore.Open(filepath.Join(st.dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := minisign.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := store.TrustKey(t.Context(), key.Public()); err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, rawStream)
	rand.NewChaCha8([32]byte{1}).Read(raw)
	publishRaw(t, store, key, "web:1@amd64", raw)
	raw = nil
	conf := config.Default()
	conf.HTTP = 0
	s := &server{config: conf, log: slog.New(slog.DiscardHandler), now: time.Now, state: st, store: store,
		addr: netip.MustParseAddr("127.0.0.1"), limits: newLimits()}
	s.callers = &callers{state: st.dir, now: time.Now, operator: func(*http.Request) (account.Who, error) {
		return account.Who{}, job.NewProblem(http.StatusUnauthorized, "no")
	},
		boots: map[[sha256.Size]byte]time.Time{}, known: map[string]time.Time{}}
	s.callers.job = func(context.Context, fleet.Proof) error { return nil }
	s.callers.ordered = func(context.Context, fleet.Proof) bool { return true }
	l, err := s.listen(t.Context(), 0, "a test", "http")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", s.images(nil))
	mux.HandleFunc("POST /test/known", func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", "Bearer of a token")
		if _, err := s.callers.who(r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
		}
	})
	srv := httpserver.New(s.limits.inTurn(s.callers.acquainted, mux), s.log)
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return "http://" + l.Addr().String()
}
