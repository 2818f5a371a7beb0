package health

import (
	"os"
	"path/filepath"
	"testing"
)

// Whatever an image has in the file, it is refused or says one of two things of the server.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"server":"required"}`))
	f.Add([]byte(`{"server":"x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		file := filepath.Join(t.TempDir(), "health.json")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := Read(file); err == nil && c.Server != "" && c.Server != Required && c.Server != Optional {
			t.Errorf("%q is %+v", b, c)
		}
	})
}
