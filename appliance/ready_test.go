package appliance

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"griddle/appliance/config"
	"griddle/appliance/fleet"
	"griddle/imagestore"
)

// TestReady asks both listeners, without a token, and then a server whose disk is full, or whose store is gone. No
// answer has a path or another thing that an address alone should not get.
func TestReady(t *testing.T) {
	r := newRunning(t, config.ImagesPrivate)
	for _, base := range []string{r.plain.URL, r.secure.URL} {
		if status, body := r.ask(base, "GET", "/healthz", "", ""); status != 204 || len(body) > 0 {
			t.Errorf("%s/healthz = %d %s, want 204", base, status, body)
		}
		status, body := r.ask(base, "GET", "/readyz", "", "")
		want := `{"ready":true,"checks":{"space":"ok","state":"ok","store":"ok"}}`
		if status != 200 || strings.TrimSpace(string(body)) != want {
			t.Errorf("%s/readyz = %d %s, want 200 %s", base, status, body, want)
		}
	}

	mount := t.TempDir()
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, "size=64m"); err != nil {
		t.Fatalf("mounting a small file system, which needs root: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(mount, unix.MNT_DETACH) })
	s := &server{config: config.Default(), now: time.Now}
	s.config.StateDir = filepath.Join(mount, "state")
	var err error
	if s.state, err = openState(s.config.StateDir); err != nil {
		t.Fatal(err)
	}
	defer s.state.close()
	if s.store, err = imagestore.Open(s.config.StoreDir()); err != nil {
		t.Fatal(err)
	}
	if s.fleet, err = fleet.Open(t.Context(), s.state.path(fleetFile), fleet.Options{}); err != nil {
		t.Fatal(err)
	}
	defer s.fleet.Close()
	want := func(when string, code int, body string) {
		t.Helper()
		rec := httptest.NewRecorder()
		s.readiness().Ready(rec, httptest.NewRequest("GET", "/readyz", nil))
		if got := strings.TrimSpace(rec.Body.String()); rec.Code != code || got != body {
			t.Errorf("%s: GET /readyz = %d %s, want %d %s", when, rec.Code, got, code, body)
		}
	}
	good := `{"ready":true,"checks":{"space":"ok","state":"ok","store":"ok"}}`
	want("with room", 200, good)
	full := filepath.Join(mount, "full")
	fill(t, full)
	want("on a full disk", 503, `{"ready":false,"checks":{"space":"failed","state":"failed","store":"ok"}}`)
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	want("with room again", 200, good)
	dir := s.store.Dir() // on a filesystem of its own, for one, that is not mounted any more
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	want("without the store", 503, `{"ready":false,"checks":{"space":"ok","state":"ok","store":"failed"}}`)
}
