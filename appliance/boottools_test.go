package appliance

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A server says at its start what a machine would find out in the middle of the night.
func TestMissingTools(t *testing.T) {
	for _, c := range []struct {
		name, build, archive, want string
	}{
		{"boot files of before", "", "", ""},
		{"a build of before", `{"version": "1"}`, "", ""},
		{"whole", `{"tools": {"sha256": "aa", "size": 3}}`, "abc", ""},
		{"missing", `{"tools": {"sha256": "aa", "size": 3}}`, "", "names a tools archive that it does not have"},
		{"a part", `{"tools": {"sha256": "aa", "size": 3}}`, "ab", "has 2 bytes"},
		{"damaged", `{`, "", buildName},
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "tools"), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{buildName: c.build, "tools/aa.cpio.zst": c.archive} {
			if text == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		err := missingTools(dir)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: missingTools = %v, want %q", c.name, err, c.want)
		}
		if c.archive == "" {
			continue
		}
		w := httptest.NewRecorder()
		http.StripPrefix("/boot", serveFiles(os.DirFS(dir))).ServeHTTP(w,
			httptest.NewRequest(http.MethodGet, "/boot/tools/aa.cpio.zst", nil))
		if w.Code != http.StatusOK || w.Body.String() != c.archive {
			t.Errorf("%s: a machine gets %d, %q, want %q", c.name, w.Code, w.Body, c.archive)
		}
	}
}
