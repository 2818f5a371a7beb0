package imagestore_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"

	"griddle/imagestore"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/minisign"
	"griddle/imagestore/mirror"
	"griddle/imagestore/ref"
	"griddle/imagestore/source"
)

// A scenario is something that changes a store. At each of its file operations it is killed, power is cut, and the
// operation fails; what must hold afterwards is the same for all: see crash.check. All that it uses lies beside the
// store, so that another process can do it too.
type scenario struct {
	name string
	base func(f *fixture)       // makes what is there before; nil means that there is no store
	act  func(f *fixture) error // may be done again
	// done says which errors act may give that is done again after it was done.
	done []error

	states int                 // that it goes through, old and new included; zero means two
	costly bool                // it works on trees, or runs programs: in make test not every operation is tried
	site   *minisign.SecretKey // that keeps the head
}

// points are the operations, of n, at which a fault is tried: one in step, and fewer of what is costly; the
// first of them by chance.
func (s scenario) points(n, step int) iter.Seq[int] {
	if s.costly {
		step *= costlyStride
	}
	return func(yield func(int) bool) {
		for i := rand.IntN(step); i < n && yield(i); i += step {
		}
	}
}

func scenarios() []scenario {
	parent, second := imagetest.Bytes(1, 3000), imagetest.Bytes(2, 5000)
	base := func(f *fixture) { f.publish("web:1@amd64", way{"", parent}) }
	two := func(f *fixture) {
		base(f)
		f.publish("web:2@amd64", way{"", second}, way{"web:1@amd64", imagetest.Bytes(3, 800)})
	}
	return append(treeScenarios(), []scenario{
		{name: "open", act: func(f *fixture) error {
			return f.attempt(func(f *fixture) {
				if err := f.s.TrustKey(context.Background(), f.key.Public()); err != nil {
					f.t.Fatal(err)
				}
				f.publish("web:1@amd64", way{"", parent})
			})
		}, done: []error{catalog.ErrExists}},
		{name: "publish", base: base, act: func(f *fixture) error {
			return f.attempt(func(f *fixture) { f.publish("web:2@amd64", way{"", second}) })
		}, done: []error{catalog.ErrExists}},
		{name: "delete", base: two, act: func(f *fixture) error {
			_, err := f.s.Delete(context.Background(), imagetest.Ref(f.t, "web:1@amd64"))
			return err
		}, done: []error{catalog.ErrNotFound}},
		{name: "collect", base: func(f *fixture) {
			base(f)
			f.image("web:9@amd64", way{"", second}) // never added
			age(f.t, f.dir)
		}, act: func(f *fixture) error {
			_, err := f.s.Collect(context.Background())
			return err
		}},
		{name: "recompress", base: base, act: func(f *fixture) error {
			return f.s.Recompress(context.Background(), imagestore.RecompressOptions{Level: 10, Workers: 1}, nil)
		}},
		{name: "gc", base: func(f *fixture) {
			two(f)
			f.must(f.s.SetKeep(context.Background(), catalog.Keep{Pattern: "web", Last: 1}))
		}, act: func(f *fixture) error {
			_, err := f.s.GC(context.Background(), imagestore.GCOptions{})
			return err
		}},
		{name: "pull", base: func(f *fixture) {
			f.publish("other:1@amd64", way{"", second})
			g := &fixture{t: f.t, dir: f.beside("from"), key: f.key}
			var err error
			g.s, err = imagestore.Open(g.dir)
			f.must(err)
			f.must(g.s.TrustKey(context.Background(), g.key.Public()))
			g.publish("web:1@amd64", way{"", parent})
		}, act: func(f *fixture) error {
			from, err := imagestore.Open(f.beside("from"))
			if err == nil {
				_, err = mirror.Copy(context.Background(), f.s, from, mirror.Options{Images: []string{"web"}, Jobs: 1})
			}
			return err
		}},
		signing(parent, second),
	}...)
}

// signing publishes where the same process keeps the catalog's head.
func signing(parent, second []byte) scenario {
	site, _ := minisign.GenerateKey()
	keep := func(f *fixture) error { return f.s.KeepHead(context.Background(), site, 0) }
	return scenario{name: "sign", site: site, base: func(f *fixture) {
		f.publish("web:1@amd64", way{"", parent})
		f.grant(document.SiteGrant(site.Public()))
		f.must(keep(f))
	}, act: func(f *fixture) error {
		if err := keep(f); err != nil {
			return err
		}
		return f.attempt(func(f *fixture) { f.publish("web:2@amd64", way{"", second}) })
	}, done: []error{catalog.ErrExists}}
}

// treeScenarios are those with real trees: what is copied from a source, lies on the shelf, and is compared.
func treeScenarios() []scenario {
	two := func(f *fixture) {
		f.plant(1)
		f.must(f.publishTree("1"))
		f.plant(2)
		f.must(f.publishTree("2"))
	}
	return []scenario{
		{name: "source", costly: true, base: func(f *fixture) {
			f.plant(1)
			f.must(f.publishTree("1"))
			f.plant(2)
		}, act: func(f *fixture) error { return f.publishTree("2") }, done: []error{catalog.ErrExists}},
		{name: "derive", costly: true, base: two, act: func(f *fixture) error {
			from := imagetest.Ref(f.t, "web:2@amd64")
			_, err := f.s.Derive(context.Background(), imagestore.DeriveOptions{Ref: imagetest.Ref(f.t, "web:1@amd64"),
				Parent: &from, Encoder: encoding.Encoder{Workers: 1}})
			return err
		}},
		{name: "expire", costly: true, states: 3, base: func(f *fixture) {
			two(f)
			f.must(f.s.SetKeep(context.Background(), catalog.Keep{Pattern: "web", Last: 1}))
		}, act: func(f *fixture) error {
			_, err := f.s.GC(context.Background(), imagestore.GCOptions{Encoder: encoding.Encoder{Workers: 1}})
			return err
		}},
		{name: "dictionary", costly: true, states: 3, base: two, act: func(f *fixture) error {
			o := imagestore.RecompressOptions{Level: 10, Workers: 1, Refs: []ref.Ref{imagetest.Ref(f.t, "web:2@amd64")}}
			return f.s.Recompress(context.Background(), o, nil)
		}},
	}
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// beside is a path next to the store.
func (f *fixture) beside(name string) string { return filepath.Join(filepath.Dir(f.dir), name) }

// plant makes a template, in its version n: of three files one is changed, and one a little everywhere.
func (f *fixture) plant(n int) {
	f.t.Helper()
	dir := f.beside("template")
	large := imagetest.Words(9, 50_000)
	for i := 0; i < len(large); i += 2048 {
		large[i] = byte('0' + n)
	}
	f.must(errors.Join(os.MkdirAll(filepath.Join(dir, "etc"), 0o755),
		os.WriteFile(filepath.Join(dir, "large"), large, 0o644),
		os.WriteFile(filepath.Join(dir, "same"), imagetest.Bytes(7, 5000), 0o600),
		os.WriteFile(filepath.Join(dir, "etc", "version"), []byte(fmt.Sprint(n)), 0o644)))
}

// publishTree publishes the template.
func (f *fixture) publishTree(version string) error {
	src, err := source.Find(context.Background(), "dir:"+f.beside("template"), source.Options{Spool: f.beside("spool")})
	if err == nil {
		_, err = f.s.Publish(context.Background(),
			imagestore.PublishOptions{Source: src, Key: f.key, Encoder: encoding.Encoder{Workers: 1},
				Ref: ref.Ref{Name: "web", Version: version, Arch: "amd64"}})
	}
	return err
}
