package appliance

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/api"
	"griddle/imagestore"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
	"griddle/imagestore/source"
)

// TestImageWithoutKernel offers such an image marked as one, and refuses an order for it before a machine restarts.
func TestImageWithoutKernel(t *testing.T) {
	st, err := imagestore.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	k, err := minisign.GenerateKey()
	if err == nil {
		err = st.TrustKey(t.Context(), k.Public())
	}
	if err != nil {
		t.Fatal(err)
	}
	tree := filepath.Join(t.TempDir(), "tree")
	if err := errors.Join(os.MkdirAll(filepath.Join(tree, "boot"), 0o755),
		os.WriteFile(filepath.Join(tree, "boot", "grub.cfg"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1", "2"} {
		src, err := source.Find(t.Context(), "dir:"+tree, source.Options{Spool: filepath.Join(t.TempDir(), "spool")})
		if err != nil {
			t.Fatal(err)
		}
		name := ref.Ref{Name: "web", Version: version, Arch: "amd64"}
		if _, err := st.Publish(t.Context(), imagestore.PublishOptions{Source: src, Ref: name, Key: k}); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tree, "boot", "vmlinuz-6.1.0"), []byte("kernel"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	i := images{store: st}
	choices, err := i.Choices(t.Context())
	if err != nil || len(choices) != 2 || choices[0].NoKernel || !choices[1].NoKernel {
		t.Errorf("Choices = %+v, %v; want web:2 with a kernel and web:1 without", choices, err)
	}
	if _, err := i.Plan(t.Context(), "web:1"); !errors.Is(err, api.ErrNoImage) ||
		!strings.Contains(err.Error(), "has no kernel") {
		t.Errorf("Plan of an image without a kernel = %v", err)
	}
	if _, err := i.Plan(t.Context(), "web:2"); err != nil {
		t.Errorf("Plan of one with a kernel = %v", err)
	}
}
