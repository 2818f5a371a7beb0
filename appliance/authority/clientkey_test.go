package authority

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"griddle/appliance/httpserver"
	"griddle/appliance/job"
)

// TestClientsProveTheirKeys: clients with a key are known by it over HTTP/1.1 and HTTP/2, those without one are served
// as before, and large certificates are refused.
func TestClientsProveTheirKeys(t *testing.T) {
	a, err := Open(t.TempDir(), netip.MustParseAddr("127.0.0.1"), nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := httpserver.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.Proto, job.KeyOf(r.TLS))
	}), slog.New(slog.DiscardHandler))
	t.Cleanup(func() { srv.Close() })
	go srv.Serve(tls.NewListener(plain, a.TLSConfig()))
	key, err := job.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	long := key
	long.Certificate = [][]byte{key.Certificate[0]}
	for range maxCertificate / len(key.Certificate[0]) {
		long.Certificate = append(long.Certificate, key.Certificate[0])
	}
	ask := func(http2 bool, keys ...tls.Certificate) (string, error) {
		conf, err := job.PinnedTLS(a.caPEM)
		if err != nil {
			t.Fatal(err)
		}
		conf.Certificates = keys
		tr := &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: http2}
		defer tr.CloseIdleConnections()
		res, err := (&http.Client{Transport: tr}).Get("https://" + plain.Addr().String())
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		b := make([]byte, 200)
		n, _ := res.Body.Read(b)
		return string(b[:n]), nil
	}
	for _, http2 := range []bool{true, false} {
		proto := map[bool]string{true: "HTTP/2.0", false: "HTTP/1.1"}[http2]
		if got, err := ask(http2); err != nil || got != proto+" " {
			t.Errorf("a client without a key = %q, %v, want %s and no key", got, err, proto)
		}
		got, err := ask(http2, key)
		again, _ := ask(http2, key)
		if err != nil || !strings.HasPrefix(got, proto+" ") || len(got) != len(proto)+1+64 || got != again {
			t.Errorf("a client with a key = %q, then %q, %v, want the same key over %s", got, again, err, proto)
		}
		if got, err := ask(http2, long); err == nil {
			t.Errorf("a client with certificates of %d bytes = %q", maxCertificate, got)
		}
	}
}
