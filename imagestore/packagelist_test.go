package imagestore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/fetch"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/mirror"
	"griddle/imagestore/packages"
	"griddle/imagestore/ref"
	"griddle/imagestore/source"
)

func somePackages() packages.List {
	return packages.List{Manager: packages.Dpkg, Packages: []packages.Package{{Name: "a", Version: "1", Arch: "all"},
		{Name: "b", Version: "2:1-1", Arch: "amd64"}}}
}

// publishDir publishes a small directory with the package list that read gives.
func (f *fixture) publishDir(version string,
	read func(context.Context, string) (packages.List, error)) (catalog.Listed, []string, error) {
	f.t.Helper()
	dir := filepath.Join(f.t.TempDir(), "tree")
	if err := errors.Join(os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "file"), []byte(version), 0o644)); err != nil {
		f.t.Fatal(err)
	}
	src, err := source.Find(f.t.Context(), "dir:"+dir, source.Options{Spool: filepath.Join(f.t.TempDir(), "spool")})
	if err != nil {
		f.t.Fatal(err)
	}
	var warned []string
	p, err := f.s.Publish(f.t.Context(), imagestore.PublishOptions{Source: src,
		Ref: ref.Ref{Name: "web", Version: version, Arch: "amd64"}, Key: f.key, Packages: read,
		Warn:     func(w string) { warned = append(warned, w) },
		Prepared: func() []document.Prepared { return []document.Prepared{{Step: "logs", Removed: 3}} }})
	if err != nil {
		return catalog.Listed{}, warned, err
	}
	l, err := f.s.Resolve(f.t.Context(), imagetest.Ref(f.t, p.Ref))
	return l, warned, err
}

func TestPublishPackages(t *testing.T) {
	for _, remote := range []bool{false, true} {
		f := newFixture(t)
		if remote {
			f = f.overServer()
		}
		want := somePackages()
		l, warned, err := f.publishDir("1", func(context.Context, string) (packages.List, error) { return want, nil })
		if err != nil || len(warned) > 0 {
			t.Fatal(err, warned)
		}
		if l.Packages == nil || l.Packages.Manager != "dpkg" || l.Packages.Count != 2 {
			t.Errorf("listed are %+v, want 2 of dpkg", l.Packages)
		}
		got, err := f.s.ReadPackages(t.Context(), imagetest.Ref(t, "web"))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("ReadPackages = %+v, %v, want %+v", got, err, want)
		}
		s, err := f.s.Show(t.Context(), imagetest.Ref(t, "web"))
		if err != nil || !s.Image.Packages.Equal(l.Packages) ||
			!slices.Equal(s.Image.Prepared, []document.Prepared{{Step: "logs", Removed: 3}}) {
			t.Errorf("Show = %+v, %v", s.Image, err)
		}
	}
}

func TestPublishWithoutPackages(t *testing.T) {
	f := newFixture(t)
	l, warned, err := f.publishDir("1", func(context.Context, string) (packages.List, error) {
		return packages.List{}, nil
	})
	if err != nil || l.Packages != nil || len(warned) > 0 {
		t.Errorf("without packages: %+v, %v, %v", l.Packages, warned, err)
	}
	if _, err := f.s.ReadPackages(t.Context(), imagetest.Ref(t, "web")); !errors.Is(err, imagestore.ErrNoPackages) {
		t.Errorf("ReadPackages = %v, want ErrNoPackages", err)
	}
	l, warned, err = f.publishDir("2", func(context.Context, string) (packages.List, error) {
		return packages.List{}, errors.New("damaged")
	})
	if err != nil || l.Packages != nil || len(warned) != 1 ||
		!strings.Contains(warned[0], "no list of packages: damaged") {
		t.Errorf("with damaged records: %+v, %q, %v", l.Packages, warned, err)
	}
}

// TestPackagesLive has the list's blob kept, checked and deleted with its image.
func TestPackagesLive(t *testing.T) {
	f := newFixture(t)
	l, _, err := f.publishDir("1", func(context.Context, string) (packages.List, error) { return somePackages(), nil })
	if err != nil {
		t.Fatal(err)
	}
	d := l.Packages.Blob
	old := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(f.blobFile(d), old, old); err != nil {
		t.Fatal(err)
	}
	if _, err := f.s.Collect(t.Context()); err != nil || !slices.Contains(f.blobs(), d) {
		t.Errorf("Collect took the package list: %v", err)
	}
	f.damage(d, -3)
	v, err := f.s.Verify(t.Context(), imagetest.Ref(t, "web"), nil)
	if err != nil || v.OK || len(v.Problems) != 1 || !strings.HasPrefix(v.Problems[0], "package list: ") {
		t.Errorf("Verify = %+v, %v, want the package list named", v, err)
	}
	if _, err := f.s.ReadPackages(t.Context(), imagetest.Ref(t, "web")); !errors.Is(err, blob.ErrMismatch) {
		t.Errorf("ReadPackages = %v, want blob.ErrMismatch", err)
	}
	if err := os.Chtimes(f.blobFile(d), old, old); err != nil { // the damage made it look as if it was put again
		t.Fatal(err)
	}
	if _, err := f.s.Delete(t.Context(), imagetest.Ref(t, "web")); err != nil || slices.Contains(f.blobs(), d) {
		t.Errorf("Delete left the package list: %v", err)
	}
}

// TestAddChecksPackages has documents that name lists which are not there, or are none.
func TestAddChecksPackages(t *testing.T) {
	f := newFixture(t)
	good, err := f.s.PutPackages(t.Context(), somePackages())
	if err != nil {
		t.Fatal(err)
	}
	text, err := f.s.PutText(t.Context(), "text", []byte("hello\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(p *document.Packages)
		want   error
	}{
		"absent":   {func(p *document.Packages) { p.Blob = blob.Sum([]byte("absent")) }, blob.ErrNotExist},
		"digest":   {func(p *document.Packages) { p.Digest = blob.Sum([]byte("other")) }, fetch.ErrCorrupt},
		"count":    {func(p *document.Packages) { p.Count++ }, fetch.ErrCorrupt},
		"manager":  {func(p *document.Packages) { p.Manager = packages.RPM }, fetch.ErrCorrupt},
		"size":     {func(p *document.Packages) { p.Size-- }, fetch.ErrCorrupt},
		"not one":  {func(p *document.Packages) { p.Content = text }, fetch.ErrCorrupt},
		"the same": {func(*document.Packages) {}, nil},
	} {
		p := *good
		tt.change(&p)
		pub := f.image("web:"+strings.ReplaceAll(name, " ", "-")+"@amd64", way{"", imagetest.Bytes(1, 1000)})
		b, err := blob.ReadAll(t.Context(), f.s.Blobs, pub.Image, document.MaxSize)
		if err != nil {
			t.Fatal(err)
		}
		trust, err := f.s.Trusted(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m, _, err := document.OpenImage(b, trust)
		if err != nil {
			t.Fatal(err)
		}
		m.Packages = &p
		if pub.Image, err = f.s.PutImage(t.Context(), m, f.key); err != nil {
			t.Fatal(err)
		}
		if _, err := f.s.Add(t.Context(), pub); !errors.Is(err, tt.want) {
			t.Errorf("%s: Add = %v, want %v", name, err, tt.want)
		}
	}
}

// TestCopyPackages has the list go with its image, and whole stores with lists checked.
func TestCopyPackages(t *testing.T) {
	f := newFixture(t)
	want := somePackages()
	l, _, err := f.publishDir("1", func(context.Context, string) (packages.List, error) { return want, nil })
	if err != nil {
		t.Fatal(err)
	}
	to := f.another()
	to.pull(f.s, "web")
	got, err := to.s.ReadPackages(t.Context(), imagetest.Ref(t, "web"))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("ReadPackages of the copy = %+v, %v, want %+v", got, err, want)
	}
	f.damage(l.Packages.Blob, -3)
	third := f.another()
	if _, err := mirror.Copy(t.Context(), third.s, f.s, mirror.Options{Images: []string{"web"}}); err == nil {
		t.Errorf("Copy of a damaged list = %v", err)
	}
	v, err := f.s.VerifyStore(t.Context(), imagestore.VerifyStoreOptions{})
	if err != nil || v.OK || len(v.Faults) != 1 || v.Faults[0].Blob != l.Packages.Blob {
		t.Errorf("VerifyStore = %+v, %v, want the package list %s named", v, err, l.Packages.Blob)
	}
}
