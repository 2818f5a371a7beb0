package document_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"griddle/imagestore/document"
	"griddle/imagestore/imagetest"
)

// olderImage has the members that readers knew before there were settings.
type olderImage struct {
	Format string `json:"format"`
	document.Identity
	Description string             `json:"description,omitempty"`
	Published   time.Time          `json:"published"`
	Size        int64              `json:"size"`
	Files       int64              `json:"files"`
	NoKernel    bool               `json:"noKernel,omitempty"`
	Accounts    []document.Account `json:"accounts,omitempty"`
}

func TestSettings(t *testing.T) {
	key := imagetest.NewKey(t)
	trust := document.NewTrust(key.Public())
	m := imagetest.Image()
	m.Settings = json.RawMessage("{\n  \"zone\": \"Europe/Berlin\", \"hostname\": \"<{name}>\"\n}\n")
	b, err := document.Sign(m, key, time.Unix(1.7e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	want := `,"settings":{"zone":"Europe/Berlin","hostname":"<{name}>"}}` + "\n"
	if !strings.Contains(string(b), want) {
		t.Errorf("the document is %s, want it to have %s", b, want)
	}
	got, _, err := document.OpenImage(b, trust)
	if err != nil || string(got.Settings) != `{"zone":"Europe/Berlin","hostname":"<{name}>"}` {
		t.Errorf("OpenImage = %s, %v", got.Settings, err)
	}
	var older olderImage
	if _, err := document.Open(b, trust, &older); err != nil || older.Format != document.ImageFormat ||
		older.Ref != m.Ref || older.Content != m.Content {
		t.Errorf("an older reader gets %+v, %v", older, err)
	}
	without, err := document.Sign(imagetest.Image(), key, time.Unix(1.7e9, 0))
	if err != nil || strings.Contains(string(without), "settings") {
		t.Errorf("a document without settings is %s, %v", without, err)
	}
	for _, bad := range []string{`null`, `[]`, `"a"`, `{`, `{} {}`, ``, ` `,
		`{"a":"` + strings.Repeat("a", document.MaxSettings) + `"}`} {
		m.Settings = json.RawMessage(bad)
		if _, err := document.Sign(m, key, time.Unix(1.7e9, 0)); err == nil {
			t.Errorf("Sign with the settings %.20q gave no error", bad)
		}
	}
}
