package appliance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/appliance/account"
	"griddle/appliance/api"
	"griddle/appliance/authority"
	"griddle/appliance/config"
	"griddle/appliance/job"
	"griddle/appliance/publishtoken"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/minisign"
	"griddle/imagestore/remote"
)

// callersInOrder lists who calls, the least trusted first.
func callersInOrder() []string {
	return []string{"", "wrong", "thief", "service", "updating", "idle", "boot", "viewer", "operator", "publisher",
		"publishing", "administrator", "admin"}
}

// people are those of them who have a token of package account, and its role.
func people() map[string]account.Role {
	return map[string]account.Role{"viewer": account.Viewer, "operator": account.Operator,
		"publishing": account.Publisher, "admin": account.Admin}
}

// admit gives them their tokens.
func (r *running) admit(t testing.TB) {
	t.Helper()
	for who, role := range people() {
		n := account.NewToken{Name: who, Role: role}
		if role == account.Publisher {
			n.Prefixes = []string{"web*"}
		}
		var err error
		if r.tokens[who], _, err = r.accounts.MakeToken(t.Context(), account.Who{Role: account.Admin}, n); err != nil {
			t.Fatal(err)
		}
	}
}

// allowed says who may use a route of the store.
func allowed(a remote.Access, plain, private bool) []string {
	switch {
	case a == remote.Reads && !private && plain:
		return callersInOrder() // tokens are not looked at
	case a == remote.Reads && !private:
		return []string{"", "service", "updating", "idle", "boot", "viewer", "operator", "publisher", "publishing",
			"administrator", "admin"}
	case plain:
		return nil
	case a == remote.Reads:
		return []string{"updating", "boot", "viewer", "operator", "publisher", "publishing", "administrator", "admin"}
	case a == remote.Publishes:
		return []string{"publisher", "publishing", "administrator", "admin"}
	}
	return []string{"administrator", "admin"}
}

// operators are those who may call a route that needs a role.
func operators(needs account.Role) []string {
	may := []string{"administrator"}
	for who, role := range people() {
		if role.May(needs) {
			may = append(may, who)
		}
	}
	return may
}

// TestEveryRouteAsksWhoCalls asks every route of both listeners, with public and with private images, with each
// identity. A new route is tested by being there.
func TestEveryRouteAsksWhoCalls(t *testing.T) {
	for _, images := range []string{config.ImagesPublic, config.ImagesPrivate} {
		r := newRunning(t, images)
		private := images == config.ImagesPrivate
		change, err := json.Marshal(catalog.Change{Publish: &r.image})
		if err != nil {
			t.Fatal(err)
		}
		x := blob.Sum([]byte("x"))
		check := func(where, base, pattern string, may []string) {
			t.Helper()
			method, path, _ := strings.Cut(pattern, " ")
			digest := x
			if pattern == "GET "+blob.Path+"/{digest}" {
				digest = r.image.Image
			}
			path = strings.NewReplacer("{digest}", string(digest), "{id}", "abcdefghijklmnopqrstuvwxyz", "{key}",
				"52:54:00:00:00:09", "{action}", "stop").Replace(path)
			body := map[string]string{"POST " + remote.CatalogPath: string(change),
				"PUT " + blob.Path + "/{digest}": "x", "POST " + blob.Path: "y",
				"POST " + remote.LeasesPath: `{"refs":["web:1@amd64"],"seconds":60}`}[pattern]
			for _, who := range callersInOrder() {
				if body == "" || strings.HasPrefix(body, `{"boot"`) {
					n := map[string]int{"boot": 1, "idle": 2}[who] // a boot speaks for itself alone
					body = fmt.Sprintf(`{"boot":"7b7c0bd0-4a3a-4b94-b0ac-6c4a0c1f9f0%d","sources":["https"]}`, n)
				}
				status, said := r.ask(base, method, path+map[bool]string{true: "?ref=web",
					false: ""}[strings.HasPrefix(path, remote.ImagesPath)], r.tokens[who], body)
				ok := status != http.StatusUnauthorized && status != http.StatusForbidden && (base != r.plain.URL ||
					status != http.StatusNotFound && status != http.StatusMethodNotAllowed || slices.Contains(may, who))
				if ok != slices.Contains(may, who) || status >= 500 {
					t.Errorf("%s images, %s, %s by %q = %d %.200s, want it for %q", images, where, pattern,
						who, status, said, may)
				}
			}
		}
		for _, route := range remote.Routes() {
			check("plain", r.plain.URL, route.Pattern, allowed(route.Access, true, private))
			check("TLS", r.secure.URL, route.Pattern, allowed(route.Access, false, private))
		}
		for _, route := range r.api.Routes() {
			may := map[api.Who][]string{api.Operators: operators(route.Role), api.Agent: {"idle", "boot"},
				api.HomeToken: nil, api.MachineKey: {"service", "updating"},
				api.Worker: {"idle", "boot", "service", "updating"}, api.Anybody: callersInOrder()}[route.Who]
			check("plain", r.plain.URL, route.Pattern, nil)
			if route.Pattern == "POST "+job.HelloPath && private {
				continue // private.txtar has what it answers
			}
			if route.Pattern == "POST "+job.UpdatePath && private {
				may = nil // no operator approved the keys of these machines
			}
			check("TLS", r.secure.URL, route.Pattern, may)
			if route.Pattern == "POST /v1/logout" {
				r.admit(t)
			}
		}
		publishRaw(t, r.store, r.key, "web:2@amd64", []byte("another stream"))
		for _, who := range callersInOrder() { // an archive, and a delta that is made first
			for _, query := range []string{"format=tar&ref=web", "ref=web:2&from=web:1"} {
				if status, said := r.ask(r.secure.URL, "GET", remote.ImagesPath+"/stream?"+query, r.tokens[who],
					""); (status != http.StatusForbidden) !=
					(who == "administrator" || who == "admin") {
					t.Errorf("%s images: %s by %q = %d %s", images, query, who, status, said)
				}
			}
		}
	}
}

// TestPublisherPublishes goes through what a publisher's token can and cannot have published.
func TestPublisherPublishes(t *testing.T) {
	r := newRunning(t, config.ImagesPublic)
	other, err := minisign.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.store.TrustKey(t.Context(), other.Public()); err != nil {
		t.Fatal(err)
	}
	theirs := publishRaw(t, r.store, other, "web:9@amd64", []byte("theirs"))
	mine := putRaw(t, r.store, r.key, "web:9@amd64", []byte("mine, to theirs"))
	mixed := putRaw(t, r.store, r.key, "web:2@amd64", []byte("mixed"))
	mixed.Streams = append(mixed.Streams, putRaw(t, r.store, other, "web:2@amd64", []byte("by another")).Streams...)
	revoke := other.Public().String()
	for _, c := range []struct {
		name   string
		change catalog.Change
		ok     bool
	}{
		{"his own", catalog.Change{Publish: &r.image}, true},
		{"a new one", catalog.Change{Publish: new(putRaw(t, r.store, r.key, "web2:1@amd64", []byte("new")))}, true},
		{"a name that his key may not sign",
			catalog.Change{Publish: new(putRaw(t, r.store, r.key, "db:1@amd64", []byte("db")))}, false},
		{"one that another signed",
			catalog.Change{Publish: new(putRaw(t, r.store, other, "web:3@amd64", []byte("3")))}, false},
		{"another's, as it is", catalog.Change{Publish: &theirs}, false},
		{"his stream to another's image",
			catalog.Change{Publish: &catalog.Publication{Image: theirs.Image, Streams: mine.Streams}}, true},
		{"a stream that another signed, to his image", catalog.Change{Publish: &mixed}, false},
		{"no such document", catalog.Change{Publish: &catalog.Publication{Image: blob.Sum([]byte("nothing"))}}, false},
		{"trust", catalog.Change{Trust: other.Public().String()}, false},
		{"a grant", catalog.Change{Grant: &catalog.Granting{Key: r.key.Public().String()}}, false},
		{"a revocation", catalog.Change{Revoke: revoke}, false},
		{"a deletion", catalog.Change{Delete: "web:1@amd64"}, false},
		{"a channel", catalog.Change{Channel: &catalog.Channel{Template: "web", Name: "stable", Version: "1"}}, false},
		{"a collection", catalog.Change{Collect: true}, false},
		{"a rule", catalog.Change{Keep: &catalog.Keep{}}, false},
		{"an expiry", catalog.Change{Expire: &catalog.Expiry{}}, false},
		{"an encoding", catalog.Change{Reencode: &catalog.Reencoding{}}, false},
		{"nothing", catalog.Change{}, false},
		{"a publication and more", catalog.Change{Publish: &r.image, Delete: "web:9@amd64"}, false},
	} {
		b, err := json.Marshal(c.change)
		if err != nil {
			t.Fatal(err)
		}
		status, said := r.ask(r.secure.URL, "POST", remote.CatalogPath, r.tokens["publisher"], string(b))
		if (status == http.StatusOK) != c.ok || !c.ok && status != http.StatusForbidden &&
			status != http.StatusUnprocessableEntity {
			t.Errorf("%s = %d %s, want it done %v", c.name, status, said, c.ok)
		}
	}
}

// TestAccountPublishes publishes with tokens of accounts: the names of the token count, and signatures too. The audit
// log has each try.
func TestAccountPublishes(t *testing.T) {
	r := newRunning(t, config.ImagesPublic)
	stranger, err := minisign.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		who    string
		change catalog.Change
		want   int
	}{
		{"publishing", catalog.Change{Publish: &r.image}, http.StatusOK},
		{"publishing", catalog.Change{Publish: new(putRaw(t, r.store, r.key, "db:1@amd64", []byte("db")))}, 403},
		{"publishing", catalog.Change{Publish: new(putRaw(t, r.store, stranger, "web:3@amd64", []byte("3")))}, 403},
		{"publishing", catalog.Change{Publish: &r.image, Delete: "web:1@amd64"}, 403},
		{"publishing", catalog.Change{Channel: &catalog.Channel{Template: "web", Name: "s", Version: "1"}}, 403},
		{"operator", catalog.Change{Publish: &r.image}, 403},
		{"viewer", catalog.Change{Publish: &r.image}, 403},
		{"admin", catalog.Change{Channel: &catalog.Channel{Template: "web", Name: "stable", Version: "1"}}, 200},
		{"publisher", catalog.Change{Publish: &r.image}, http.StatusOK},
	} {
		b, err := json.Marshal(c.change)
		if err != nil {
			t.Fatal(err)
		}
		status, said := r.ask(r.secure.URL, "POST", remote.CatalogPath, r.tokens[c.who], string(b))
		if status != c.want {
			t.Errorf("%s by %q = %d %s, want %d", b, c.who, status, said, c.want)
		}
	}
	all, err := r.accounts.Entries(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	ends := map[string]int{}
	for _, e := range all {
		if e.Call == "POST "+remote.CatalogPath && e.Of != 0 {
			ends[fmt.Sprintf("%s %s %s", e.Who, e.On, e.Outcome)]++
		}
	}
	for _, want := range []string{"token publishing publish web:1@amd64 done", "token admin channel web:stable 1 done",
		"token publishing channel web:s 1 refused",
		"publisher's key " + r.key.Public().ID() + " publish web:1@amd64 done"} {
		if ends[want] != 1 {
			t.Errorf("the audit log lacks %q: %v", want, ends)
		}
	}
	r.accounts.Close()
	b, err := json.Marshal(catalog.Change{Delete: "web:1@amd64"})
	if err != nil {
		t.Fatal(err)
	}
	status, said := r.ask(r.secure.URL, "POST", remote.CatalogPath, r.tokens["administrator"], string(b))
	if status != http.StatusServiceUnavailable || !strings.Contains(said, "the audit log cannot be written") {
		t.Errorf("a change without the audit log = %d %s", status, said)
	}
	if list, err := r.store.List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("the image was deleted without a line in the audit log: %v, %v", list, err)
	}
}

// TestRevokedKeyVoidsItsToken revokes the key of a publisher, and trusts it again.
func TestRevokedKeyVoidsItsToken(t *testing.T) {
	r := newRunning(t, config.ImagesPublic)
	read := func() int {
		status, _ := r.ask(r.secure.URL, "GET", remote.ImagesPath, r.tokens["publisher"], "")
		return status
	}
	if got := read(); got != http.StatusOK {
		t.Fatalf("reading with a publisher's token = %d", got)
	}
	if err := r.store.Revoke(t.Context(), r.key.Public()); err != nil {
		t.Fatal(err)
	}
	if got := read(); got != http.StatusForbidden {
		t.Errorf("reading with the token of a revoked key = %d", got)
	}
	files, err := os.ReadDir(filepath.Join(r.state.dir, publishtoken.Dir))
	if err != nil || len(files) != 1 {
		t.Fatalf("there are %d tokens, %v", len(files), err)
	}
	path := filepath.Join(r.state.dir, publishtoken.Dir, files[0].Name())
	if b, err := os.ReadFile(path); err != nil || bytes.Contains(b, []byte(r.tokens["publisher"])) {
		t.Errorf("the token's file is %s, %v", b, err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the token's file has mode %v, %v", st.Mode(), err)
	}
	if n, err := publishtoken.Revoke(r.state.dir, r.key.Public()); err != nil || n != 1 {
		t.Errorf("Revoke() = %d, %v", n, err)
	}
	if _, err := publishtoken.Owner(r.state.dir, r.tokens["publisher"]); err == nil {
		t.Error("a token is there after it was revoked")
	}
}

// TestMulticastKeysAreForJobs asks for a session's keys: only the boot of a machine with a job gets an answer.
func TestMulticastKeysAreForJobs(t *testing.T) {
	r := newRunning(t, config.ImagesPublic)
	body := fmt.Sprintf(`{"encoding":%q,"size":1,"networks":[]}`, r.image.Image)
	for _, who := range callersInOrder() {
		status, said := r.ask(r.secure.URL, "POST", job.StreamPath, r.tokens[who], body)
		if (status == http.StatusOK) != (who == "boot" || who == "updating") {
			t.Errorf("asking for a stream by %q = %d %s", who, status, said)
		}
		if status, _ := r.ask(r.plain.URL, "POST", job.StreamPath, r.tokens[who],
			body); status != http.StatusNotFound && status != http.StatusMethodNotAllowed {
			t.Errorf("asking for a stream over plain HTTP by %q = %d", who, status)
		}
	}
}

// TestTokensMakeAddressesKnown sends each identity's token from an address of its own: those who have a valid one open
// the reserve to their address, over the plain listener too, and a stranger's boot does not.
func TestTokensMakeAddressesKnown(t *testing.T) {
	r := newRunning(t, config.ImagesPublic)
	for i, who := range callersInOrder() {
		for _, path := range []string{remote.ImagesPath, "/v1/machines", job.EventsPath} {
			address := fmt.Sprintf("10.0.%d.%d", len(path), i)
			req := httptest.NewRequest(http.MethodGet, path, nil)
			req.RemoteAddr = address + ":1000"
			if token := r.tokens[who]; token != "" {
				req.Header.Set("Authorization", "Bearer "+token)
			}
			r.secureHandler().ServeHTTP(httptest.NewRecorder(), req)
			if got, want := r.callers.acquainted(address),
				slices.Contains([]string{"boot", "viewer", "operator", "publisher", "publishing",
					"administrator", "admin"}, who); got != want {
				t.Errorf("after %s by %q its address is known: %v, want %v", path, who, got, want)
			}
		}
	}
	now := time.Now()
	r.callers.now = func() time.Time { return now.Add(addressTrust + time.Minute) }
	if r.callers.acquainted("10.0.10.5") {
		t.Error("an address is known for ever")
	}
	for i := range 2 * maxKnown {
		remember(r.callers.known, fmt.Sprint(i), now, time.Hour)
	}
	if n := len(r.callers.known); n > maxKnown {
		t.Errorf("%d addresses are remembered, want at most %d", n, maxKnown)
	}
}

// TestSiteIsShared reads the site's part of the boot image: two readers have one copy of it, until the catalog changes.
func TestSiteIsShared(t *testing.T) {
	r := newRunning(t, config.ImagesPublic)
	var err error
	r.addr = netip.MustParseAddr("127.0.0.1")
	if r.authority, err = authority.Open(r.state.dir, r.addr, nil, time.Now); err != nil {
		t.Fatal(err)
	}
	site := func() []byte {
		t.Helper()
		b, err := r.siteNow(t.Context())
		if err != nil || len(b) == 0 {
			t.Fatalf("siteNow() = %d bytes, %v", len(b), err)
		}
		return b
	}
	first, again := site(), site()
	if &first[0] != &again[0] {
		t.Error("each reader has a copy of its own")
	}
	publishRaw(t, r.store, r.key, "web:7@amd64", []byte("seven"))
	if bytes.Equal(first, site()) {
		t.Error("it is the old one after a change of the catalog")
	}
}
