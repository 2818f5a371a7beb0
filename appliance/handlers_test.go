package appliance

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

func TestServeFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"boot/vmlinuz": "kernel", "boot/snponly.efi": "MZ",
		"boot/grub/x": "y", "secret": "s"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../secret", filepath.Join(dir, "boot/link")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(filepath.Join(dir, "boot"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	h := serveFiles(root.FS())
	for _, c := range []struct {
		path, ranged, want string
		code               int
	}{
		{"/vmlinuz", "", "kernel", 200},
		{"/vmlinuz", "bytes=1-2", "er", 206},
		{"/snponly.efi", "", "MZ", 200},
		{"/", "", "", 404}, {"/grub", "", "", 404}, {"/grub/", "", "", 404}, {"/link", "", "", 404},
		{"/../secret", "", "", 404}, {"//vmlinuz", "", "", 404}, {"/index.html", "", "", 404}, {"/\x00", "", "", 404},
	} {
		req := httptest.NewRequest("GET", "/", nil)
		req.URL.Path = c.path
		if c.ranged != "" {
			req.Header.Set("Range", c.ranged)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		if rec.Code != c.code || c.want != "" && rec.Body.String() != c.want {
			t.Errorf("GET %q (%s) = %d %q, want %d %q", c.path, c.ranged, rec.Code, rec.Body, c.code, c.want)
		}
	}
}
