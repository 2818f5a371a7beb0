package job

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
)

// The server sees the key that the client proved, whoever signed its certificate and whatever the clocks say.
func TestKeyOf(t *testing.T) {
	t.Parallel()
	var seen []string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, KeyOf(r.TLS))
		json.NewEncoder(w).Encode(Settings{State: Waiting, Code: "7K4M-QX2D"})
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS13}
	s.StartTLS()
	defer s.Close()
	ask := func(key ...tls.Certificate) {
		conf := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		conf.Certificates = key
		got, err := NewClient(s.URL, conf).Settings(t.Context())
		if err != nil || got.State != Waiting || got.Code != "7K4M-QX2D" {
			t.Errorf("settings %+v, %v", got, err)
		}
	}
	one, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	ask(one)
	ask(one)
	ask(other)
	ask()
	if seen[0] == "" || seen[0] != seen[1] || seen[2] == seen[0] || seen[3] != "" {
		t.Errorf("keys %q", seen)
	}
	if KeyOf(nil) != "" {
		t.Error("a connection without TLS has a key")
	}
}
