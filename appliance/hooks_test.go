package appliance

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"griddle/appliance/config"
	"griddle/appliance/webhook"
)

// TestWebhooks tells a program that a job was cancelled, as the fleet has it. It gets nothing from before.
func TestWebhooks(t *testing.T) {
	r := newRunning(t, config.ImagesPublic)
	got := make(chan string, 100)
	receiver := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		got <- string(b)
	}))
	receiver.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	receiver.StartTLS()
	defer receiver.Close()
	r.hooks = []webhook.Hook{{URL: receiver.URL, Secret: []byte(strings.Repeat("k", 32)), Private: true,
		Roots: receiver.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.sendWebhooks(ctx) }()
	for { // until it is known what is new
		if all, err := os.ReadDir(r.state.path(webhooksDir)); err == nil && len(all) == 1 &&
			strings.HasSuffix(all[0].Name(), ".json") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	status, body := r.ask(r.secure.URL, "POST", "/v1/machines/52:54:00:00:00:03/cancel",
		r.tokens["administrator"], "{}")
	if status != 200 {
		t.Fatalf("cancelling = %d %s", status, body)
	}
	said := <-got
	for _, want := range []string{`"type":"job.cancelled"`, `"state":"cancelled"`, `"kind":"install"`,
		`"image":"web:1@amd64"`, `"name":"node-525400000003"`} {
		if !strings.Contains(said, want) {
			t.Errorf("the webhook got %s without %s", said, want)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("sendWebhooks() = %v", err)
	}
	if len(got) > 0 {
		t.Errorf("the webhook got %s too", <-got)
	}
}
