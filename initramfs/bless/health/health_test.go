package health

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConfig: what is written is read again, and what is not valid is refused with the name of the file.
func TestConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "health.json")
	if c, err := Read(file); err != nil || c != (Config{}) {
		t.Errorf("Read of no file = %+v, %v", c, err)
	}
	for _, want := range []Config{{}, {Server: Required}, {Server: Optional}} {
		b, err := want.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if c, err := Read(file); err != nil || c != want {
			t.Errorf("Read(%q) = %+v, %v, want %+v", b, c, err, want)
		}
	}
	for _, text := range []string{"", "{", `{"server":"maybe"}`, `{"server":1}`} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("Read(%q) = %v, want an error with the file's name", text, err)
		}
	}
}
