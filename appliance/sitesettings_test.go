package appliance

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/config"
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
		"":                                "",
		"zoen: UTC\nssh: {port: x}\n":     c.Settings + ":1:1: zoen: there is no such key",
		"hostname: '{nmae}'\nzone: '?'\n": c.Settings + ":2:1: zone: ",
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
