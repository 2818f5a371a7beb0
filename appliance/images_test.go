package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/api"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/seal"
	"griddle/appliance/setting"
	"griddle/imagestore"
	"griddle/imagestore/durable"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
	"griddle/imagestore/source"
)

// newStore is an empty store that trusts a new key.
func newStore(t *testing.T) (*imagestore.Store, *minisign.SecretKey) {
	t.Helper()
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
	return st, k
}

// publishTree publishes a directory as a version of web with settings, "" for none.
func publishTree(t *testing.T, st *imagestore.Store, k *minisign.SecretKey, tree, version, settings string) {
	t.Helper()
	inspect := func(context.Context, string, string) (in imagestore.Inspected, err error) {
		if settings != "" {
			in.Settings = json.RawMessage(settings)
		}
		return in, nil
	}
	src, err := source.Find(t.Context(), "dir:"+tree, source.Options{Spool: filepath.Join(t.TempDir(), "spool")})
	if err != nil {
		t.Fatal(err)
	}
	name := ref.Ref{Name: "web", Version: version, Arch: "amd64"}
	if _, err := st.Publish(t.Context(), imagestore.PublishOptions{Source: src, Ref: name, Key: k,
		Inspect: inspect}); err != nil {
		t.Fatal(err)
	}
}

// TestImageSettings: a machine gets the settings in the signed document of its image, and its site and it itself win.
func TestImageSettings(t *testing.T) {
	st, k := newStore(t)
	tree := t.TempDir()
	if err := os.WriteFile(filepath.Join(tree, "vmlinuz"), []byte("kernel"), 0o644); err != nil {
		t.Fatal(err)
	}
	publishTree(t, st, k, tree, "1", "")
	publishTree(t, st, k, tree, "2", `{"zone":"Europe/Berlin","keymap":"de","locale":"de_DE.UTF-8"}`)

	i := images{store: st}
	if got, err := i.Settings(t.Context(), job.Image{Ref: "web:1@amd64"}); got != nil || err != nil {
		t.Errorf("settings of an image without any = %s, %v", got, err)
	}
	if _, err := i.Settings(t.Context(), job.Image{Ref: "web:3@amd64"}); !errors.Is(err, api.ErrNoImage) {
		t.Errorf("settings of an image that does not exist: %v", err)
	}
	f, err := fleet.Open(t.Context(), filepath.Join(t.TempDir(), "fleet.db"), fleet.Options{
		Sealer: seal.In(durable.Disk{}, filepath.Join(t.TempDir(), "settings.key"), "for a test")})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	site, err := setting.Decode("site", []byte(`{"keymap":"us","locale":"en_US.UTF-8"}`))
	if err != nil {
		t.Fatal(err)
	}
	const admin = "0123456789abcdef0123456789abcdef"
	h, err := api.New(api.Options{Fleet: f, Images: i, Admin: admin, Site: func() setting.Document { return site }})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewTLSServer(h)
	defer srv.Close()
	client := api.NewClient(srv.URL, admin, srv.Client().Transport.(*http.Transport).TLSClientConfig)
	if _, err := client.Install(t.Context(), "52:54:00:00:00:0a",
		api.Install{Image: "web:2", Disk: "largest", Hostname: "web1"}); err != nil {
		t.Fatal(err)
	}
	own, err := setting.Decode("own", []byte(`{"locale":"fr_FR.UTF-8"}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.SetSettings(t.Context(), "web1", own)
	want := []setting.Value{{Place: "keymap", Text: "us", From: "site"},
		{Place: "locale", Text: "fr_FR.UTF-8", From: "machine web1"},
		{Place: "zone", Text: "Europe/Berlin", From: "image web:2@amd64"}}
	if err != nil || !slices.Equal(got.Values, want) {
		t.Errorf("settings = %+v, %v, want %+v", got.Values, err, want)
	}
	if p := got.Public; p == nil || p.Zone != "Europe/Berlin" || p.Keymap != "us" || p.Locale != "fr_FR.UTF-8" {
		t.Errorf("together they are %+v", p)
	}
}

// TestImageWithoutKernel offers such an image marked as one, and refuses an order for it before a machine restarts.
func TestImageWithoutKernel(t *testing.T) {
	st, k := newStore(t)
	tree := filepath.Join(t.TempDir(), "tree")
	if err := errors.Join(os.MkdirAll(filepath.Join(tree, "boot"), 0o755),
		os.WriteFile(filepath.Join(tree, "boot", "grub.cfg"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1", "2"} {
		publishTree(t, st, k, tree, version, "")
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
