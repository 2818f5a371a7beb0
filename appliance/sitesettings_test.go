package appliance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/appliance/authority"
	"griddle/appliance/config"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/setting"
	"griddle/imagestore/remote"
	"griddle/netboot"
)

func TestSiteSettings(t *testing.T) {
	const hash = "$6$canary$canarycanarycanarycanary"
	c := config.Default()
	if d, err := SiteSettings(c); err != nil || !d.Empty() {
		t.Errorf("SiteSettings() without a file = %+v, %v", d, err)
	}
	c.Settings = filepath.Join(t.TempDir(), "settings.yaml")
	if _, err := SiteSettings(c); err == nil || !strings.Contains(err.Error(), c.Settings) {
		t.Errorf("SiteSettings() of a file that does not exist = %v", err)
	}
	for text, want := range map[string]string{
		"zone: UTC\nroot: {passwordHash: " + hash + "}\n": "",
		"":                                      "",
		"ssh: {secure: true}\nzone: UTC\n":      "", // each machine adds who may log in
		"ssh: {secure: true, rootLogin: yes}\n": c.Settings + ":1:7: ssh.secure: the secure state lets root not",
		"zoen: UTC\nssh: {port: x}\n":           c.Settings + ":1:1: zoen: there is no such key",
		"hostname: '{nmae}'\nzone: '?'\n":       c.Settings + ":2:1: zone: ",
	} {
		if err := os.WriteFile(c.Settings, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		d, err := SiteSettings(c)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("SiteSettings() of %q = %v, want %q", text, err, want)
		}
		if b, jerr := json.Marshal(d); err == nil && (jerr != nil || strings.Contains(text, "UTC") !=
			strings.Contains(string(b), "UTC") || d.From != "site") {
			t.Errorf("SiteSettings() of %q = %s from %q, %v", text, b, d.From, jerr)
		}
		var log bytes.Buffer
		s := &server{log: slog.New(slog.NewTextHandler(&log, nil))}
		if _, err := s.siteSettings(c); err == nil && strings.Contains(log.String(), "other users") !=
			strings.Contains(text, hash) || strings.Contains(log.String(), "canary") {
			t.Errorf("the log of %q is %s", text, log.String())
		}
	}
}

// TestSettingsStaySecret asks every route of both listeners with each identity that no operator approved, and looks at
// what a machine boots: none of it has a secret of the settings.
func TestSettingsStaySecret(t *testing.T) {
	const hash = "$6$canary$canarycanarycanarycanary"
	r := newRunning(t, config.ImagesPublic)
	var err error
	for i := range 3 {
		_, err = r.fleet.SetSettings(t.Context(), []string{fmt.Sprintf("52:54:00:00:00:0%d", i+1)},
			func(_ string, d fleet.Declared) (setting.Document, error) {
				return setting.Decode(d.Settings.From, []byte(`{"root":{"passwordHash":"`+hash+`"}}`))
			})
		if err != nil {
			t.Fatal(err)
		}
	}
	if status, said := r.ask(r.secure.URL, http.MethodGet, job.SettingsPath, r.tokens["boot"],
		""); status != http.StatusForbidden || !strings.Contains(said, "proves no key") {
		t.Errorf("a boot without a key gets %d %s", status, said)
	}
	ask := func(base, method, path, who string) {
		t.Helper()
		path = strings.NewReplacer("{digest}", string(r.image.Image), "{id}", "x", "{key}", "52:54:00:00:00:01",
			"{action}", "stop").Replace(path)
		if status, said := r.ask(base, method, path, r.tokens[who], "{}"); strings.Contains(said, "canary") {
			t.Errorf("%s %s by %q = %d with the secret", method, path, who, status)
		}
	}
	for _, who := range callersInOrder() {
		for _, route := range remote.Routes() {
			method, path, _ := strings.Cut(route.Pattern, " ")
			ask(r.plain.URL, method, path, who)
			ask(r.secure.URL, method, path, who)
		}
		for _, route := range r.api.Routes() {
			if method, path, _ := strings.Cut(route.Pattern, " "); method != http.MethodDelete {
				ask(r.plain.URL, method, path, who)
				ask(r.secure.URL, method, path, who)
			}
		}
	}
	for i := range 3 {
		spec, err := r.fleet.Boot(t.Context(), netboot.Machine{MAC: []byte{0x52, 0x54, 0, 0, 0, byte(i + 1)}})
		if err != nil || strings.Contains(fmt.Sprint(spec), "canary") {
			t.Errorf("Boot() = %+v, %v", spec, err)
		}
	}
	r.addr = netip.MustParseAddr("127.0.0.1")
	if r.authority, err = authority.Open(r.state.dir, r.addr, nil, time.Now); err != nil {
		t.Fatal(err)
	}
	if b, err := r.siteNow(t.Context()); err != nil || bytes.Contains(b, []byte("canary")) {
		t.Errorf("the boot image has the secret, %v", err)
	}
	files, err := filepath.Glob(r.state.path("*"))
	if err != nil || len(files) < 3 {
		t.Fatalf("the state directory has %v, %v", files, err)
	}
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil && bytes.Contains(b, []byte("canary")) {
			t.Errorf("%s has the secret", name)
		}
	}
}
