package remote

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/oauth2-proxy/mockoidc"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
)

// TestBrowser logs in at an identity provider as a browser does, and answers with a wrong state before.
func TestBrowser(t *testing.T) {
	m, err := mockoidc.NewServer(nil)
	if err != nil {
		t.Fatal(err)
	}
	// This one wants a secret also of clients that cannot keep one.
	if err := m.AddMiddleware(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ParseForm() == nil && r.URL.Path == mockoidc.TokenEndpoint {
				r.Form.Set("client_secret", m.ClientSecret)
				r.Form.Set("client_id", m.ClientID)
			}
			next.ServeHTTP(w, r)
		})
	}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		err = m.Start(l, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Shutdown() })
	read, write := io.Pipe()
	e := &cli.Env{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: write,
		Getenv: func(string) string { return "" }}
	statuses := make(chan int, 2)
	go func() {
		defer io.Copy(io.Discard, read)
		lines := bufio.NewScanner(read)
		for lines.Scan() {
			if !strings.HasPrefix(lines.Text(), "http") {
				continue
			}
			client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			}}
			res, err := client.Get(lines.Text())
			if err != nil {
				t.Error(err)
				return
			}
			back := res.Header.Get("Location")
			for _, address := range []string{strings.Replace(back, "state=", "state=x", 1), back} {
				res, err := client.Get(address)
				if err != nil {
					t.Error(err)
					return
				}
				statuses <- res.StatusCode
			}
			return
		}
	}()
	raw, err := browser(t.Context(), e, api.Identity{Issuer: m.Issuer(), Client: m.ClientID,
		Scopes: []string{"openid", "profile", "groups"}})
	write.Close()
	if err != nil || strings.Count(raw, ".") != 2 {
		t.Fatalf("browser() = %q, %v", raw, err)
	}
	if wrong, right := <-statuses, <-statuses; wrong != http.StatusBadRequest || right != http.StatusOK {
		t.Errorf("a wrong state = %d, the right one = %d", wrong, right)
	}
}
