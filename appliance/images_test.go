package appliance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/account"
	"griddle/appliance/api"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/seal"
	"griddle/appliance/setting"
	"griddle/imagestore"
	"griddle/imagestore/catalog"
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
	publishAs(t, st, k, tree, ref.Ref{Name: "web", Version: version, Arch: "amd64"}, settings)
}

func publishAs(t *testing.T, st *imagestore.Store, k *minisign.SecretKey, tree string, name ref.Ref, settings string) {
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
	accounts, err := account.Open(t.Context(), filepath.Join(t.TempDir(), "accounts.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accounts.Close() })
	h, err := api.New(api.Options{Fleet: f, Accounts: accounts, Images: i, Admin: admin,
		Site: func() setting.Document { return site }})
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

// TestImageWithoutKernel offers such an image marked as one, and refuses an order for it before a machine restarts,
// until there is a kernel for it.
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
	kernelOf := func(name string) (job.Image, error) {
		image, err := i.Plan(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return i.Kernel(t.Context(), image)
	}
	if _, err := kernelOf("web:1"); !errors.Is(err, api.ErrNoImage) ||
		!strings.Contains(err.Error(), "has no kernel") ||
		!strings.Contains(err.Error(), "griddle publish kernel") {
		t.Errorf("Kernel of an image without one = %v", err)
	}
	if got, err := kernelOf("web:2"); err != nil || got.Ref != "" {
		t.Errorf("Kernel of an image with one = %+v, %v", got, err)
	}
	for _, version := range []string{"6.1.9", "6.1.10"} {
		publishAs(t, st, k, tree, ref.Ref{Namespace: "griddle", Name: "kernel", Version: version, Arch: "amd64"}, "")
	}
	if got, err := kernelOf("web:1"); err != nil || got.Ref != "griddle/kernel:6.1.10@amd64" || len(got.Streams) == 0 {
		t.Errorf("Kernel of an image without one = %+v, %v, want the newest", got, err)
	}
	// It is neither offered nor ordered as a system itself.
	if choices, err := i.Choices(t.Context()); err != nil || len(choices) != 2 {
		t.Errorf("Choices = %+v, %v, want the versions of web", choices, err)
	}
	if _, err := kernelOf("griddle/kernel"); !errors.Is(err, api.ErrNoImage) ||
		!strings.Contains(err.Error(), "is not a system") {
		t.Errorf("Kernel of a kernel = %v", err)
	}
}

// TestPlanFromPool: the way to an image is the cheapest from what the pool has, by the UUIDs that it was received with.
func TestPlanFromPool(t *testing.T) {
	ctx := t.Context()
	st, k := newStore(t)
	tree := t.TempDir()
	if err := os.WriteFile(filepath.Join(tree, "vmlinuz"), bytes.Repeat([]byte("kernel"), 1<<16), 0o644); err != nil {
		t.Fatal(err)
	}
	uuids := map[string]string{}
	for _, version := range []string{"1", "2"} {
		if err := os.WriteFile(filepath.Join(tree, "version"), []byte(version), 0o644); err != nil {
			t.Fatal(err)
		}
		publishTree(t, st, k, tree, version, "")
		m, err := st.Document(ctx, ref.Ref{Name: "web", Version: version, Arch: "amd64"})
		if err != nil {
			t.Fatal(err)
		}
		uuids[version] = m.UUID.String()
	}
	plan := func(have ...string) job.Image {
		t.Helper()
		got, err := images{store: st}.Plan(ctx, "web:2@amd64", have...)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	full := plan()
	if got := plan("8f2b1c34-0000-4000-8000-000000000001"); !reflect.DeepEqual(got, full) || len(got.Streams) != 2 {
		t.Errorf("with an image that the store does not know the plan is %+v, want %+v", got, full)
	}
	delta := plan(uuids["1"])
	if len(delta.Streams) != 1 || delta.Streams[0] != full.Streams[1] || delta.Document != full.Document {
		t.Errorf("with the image before the plan is %+v, want a delta", delta)
	}
	if got := plan(uuids["1"], uuids["2"]); len(got.Streams) != 0 {
		t.Errorf("with the image itself the plan is %+v, want nothing", got)
	}
	st.Key = k
	if _, err := st.Derive(ctx, imagestore.DeriveOptions{Ref: ref.Ref{Name: "web", Version: "2",
		Arch: "amd64"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Delete(ctx, ref.Ref{Name: "web", Version: "1", Arch: "amd64"}); err != nil {
		t.Fatal(err)
	}
	if got := plan(uuids["1"]); !reflect.DeepEqual(got, delta) {
		t.Errorf("with an image that was deleted here the plan is %+v, want the delta", got)
	}
}

// TestNames compares references, and follows channels.
func TestNames(t *testing.T) {
	st, k := newStore(t)
	tree := t.TempDir()
	if err := os.WriteFile(filepath.Join(tree, "vmlinuz"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	publishTree(t, st, k, tree, "1", "")
	if err := st.SetChannel(t.Context(), catalog.Channel{Template: "web", Name: "stable", Version: "1"}); err != nil {
		t.Fatal(err)
	}
	n := names{st}
	for _, c := range []struct{ asked, image, want string }{
		{"web:stable", "web:1@amd64", "web:stable@amd64"}, {"web:2@arm64", "web:1@amd64", "web:2@arm64"},
		{"web", "", "web"}, {"\x1b", "web:1@amd64", "\x1b"},
	} {
		if got := n.For(c.asked, c.image); got != c.want {
			t.Errorf("For(%q, %q) = %q, want %q", c.asked, c.image, got, c.want)
		}
	}
	for _, c := range []struct{ asked, image, want string }{
		{"web:stable", "web:1@amd64", "web:stable@amd64"}, {"web:1", "web:1@amd64", "web@amd64"},
		{"web:deleted", "web:1@amd64", "web@amd64"}, {"", "web:1@amd64", "web@amd64"},
		{"web:latest", "web:1@amd64", "web@amd64"}, {"db:stable", "web:1@amd64", "web@amd64"},
	} {
		if got, err := n.Follow(t.Context(), c.asked, c.image); err != nil || got != c.want {
			t.Errorf("Follow(%q, %q) = %q, %v, want %q", c.asked, c.image, got, err, c.want)
		}
	}
	for _, c := range []struct {
		from, to string
		want     api.Step
	}{
		{"web:2@amd64", "web:10@amd64", api.Step{}}, {"web:10@amd64", "web:2@amd64", api.Step{Older: true}},
		{"web:2@amd64", "db:1@amd64", api.Step{Other: true}}, {"web:2@amd64", "web", api.Step{}},
		{"web:2@amd64", "web:3@arm64", api.Step{Arch: true}}, {"", "web", api.Step{Other: true}},
	} {
		if got := n.Step(c.from, c.to); got != c.want {
			t.Errorf("Step(%q, %q) = %+v, want %+v", c.from, c.to, got, c.want)
		}
	}
}

// TestImageWithoutSystemd refuses an update to an image that no machine could find good, before one receives it.
func TestImageWithoutSystemd(t *testing.T) {
	st, k := newStore(t)
	tree := filepath.Join(t.TempDir(), "tree")
	if err := errors.Join(os.MkdirAll(filepath.Join(tree, "lib/systemd"), 0o755),
		os.MkdirAll(filepath.Join(tree, "sbin"), 0o755),
		os.WriteFile(filepath.Join(tree, "lib/systemd/systemd"), []byte("process 1"), 0o755)); err != nil {
		t.Fatal(err)
	}
	publishTree(t, st, k, tree, "1", "")
	if err := os.Symlink("/lib/systemd/systemd", filepath.Join(tree, "sbin/init")); err != nil {
		t.Fatal(err)
	}
	publishTree(t, st, k, tree, "2", "")
	i := images{store: st}
	for version, want := range map[string]string{"2": "",
		"1": "web:1@amd64 does not start with systemd: it has no /sbin/init; machines cannot be updated to it"} {
		image, err := i.Plan(t.Context(), "web:"+version)
		if err != nil {
			t.Fatal(err)
		}
		err = i.Updates(t.Context(), image)
		if want == "" && err != nil || want != "" && (!errors.Is(err, api.ErrNoImage) ||
			!strings.Contains(err.Error(), want)) {
			t.Errorf("Updates(web:%s) = %v, want %q", version, err, want)
		}
	}
}
