package publish

import (
	"encoding/json"
	"strings"
	"testing"

	"griddle/appliance/setting"
	"griddle/imagestore/document"
)

// The store knows no settings, so it has its own limit.
func TestSettingsLimit(t *testing.T) {
	if document.MaxSettings != setting.MaxDocument {
		t.Errorf("an image may have %d bytes of settings, a document %d", document.MaxSettings, setting.MaxDocument)
	}
	large := strings.Repeat("#", setting.MaxDocument+1)
	if _, err := settingsOf([]byte(large)); err == nil || !strings.Contains(err.Error(), "262144 are allowed") {
		t.Errorf("settings that are too large: %v", err)
	}
}

// Images of other publishers may have anything.
func TestSettingsText(t *testing.T) {
	for in, want := range map[string]string{
		`{"zone":"UTC"}`:      "zone = UTC",
		`{"colour":"red"}`:    "not valid here: reading the settings of the image: invalid settings: colour: ",
		`{"zone":"\u001b[1"}`: "zone = ",
	} {
		if got := SettingsText(json.RawMessage(in)); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("SettingsText(%s) = %q, want %q", in, got, want)
		}
	}
}
