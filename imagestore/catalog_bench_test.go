package imagestore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/ref"
	"griddle/imagestore/sendstream"
)

// BenchmarkCatalog lists and plans in a store with 10,000 versions of ten templates, each a delta from the one before
// it and every twentieth a full stream too: list is `griddle image list`, plan the way from nothing to the newest
// version, and plan-far the one from the oldest; open is what a new process needs before.
func BenchmarkCatalog(b *testing.B) {
	const templates, versions = 10, 1000
	dir := b.TempDir()
	st, err := imagestore.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	key := imagetest.NewKey(b)
	if err := st.TrustKey(b.Context(), key.Public()); err != nil {
		b.Fatal(err)
	}
	digest := func(what string, i int) blob.Digest { return blob.Sum(fmt.Appendf(nil, "%s %d", what, i)) }
	var entries []catalog.Entry
	for t := range templates {
		for v := range versions {
			i := t*versions + v
			r := ref.Ref{Name: fmt.Sprintf("t%d", t), Version: fmt.Sprintf("20260101.%d", v), Arch: "amd64"}
			l := &catalog.Listed{Ref: r.String(), Template: r.Template(), Version: r.Version, Arch: r.Arch,
				Published: time.Unix(int64(i), 0),
				Size:      1 << 30, Files: 10_000, Signer: key.Public().ID(), Document: digest("doc", i),
				Identity: document.Identity{Ref: r.String(),
					UUID: sendstream.UUID{byte(i), byte(i >> 8), 1}, Ctransid: 1,
					Content: document.Content{Digest: digest("content", i), Size: 1 << 20,
						Blob: digest("content blob", i)}}}
			stream := func(parent string, wire int64) {
				l.Streams = append(l.Streams, catalog.ListedStream{Parent: parent, Raw: 3 * wire, Wire: wire,
					Signer: l.Signer, Document: digest("s"+parent, i),
					Index: digest("x"+parent, i), Encoding: digest("e"+parent, i)})
			}
			if v > 0 {
				old := r
				old.Version = fmt.Sprintf("20260101.%d", v-1)
				stream(old.String(), 5<<20)
			}
			if v%20 == 0 {
				stream("", 300<<20)
			}
			entries = append(entries, catalog.Entry{Kind: catalog.KindPublish, Image: l})
		}
	}
	before, err := st.Catalog.Read(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(st.Dir(), "catalog"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	for i, e := range entries {
		e.Seq, e.Time = int64(len(before)+i+1), time.Now().UTC()
		js, err := document.MarshalLine(e)
		if err != nil {
			b.Fatal(err)
		}
		js = js[:len(js)-1]
		if _, err := fmt.Fprintf(log, "%s %s\n", blob.Sum(js).Hex(), js); err != nil {
			b.Fatal(err)
		}
	}
	ctx := context.Background()
	newest, oldest := ref.Ref{Name: "t3"}, ref.Ref{Name: "t3", Version: "20260101.0"}
	for name, f := range map[string]func(*imagestore.Store) error{
		"list":     func(s *imagestore.Store) error { _, err := s.List(ctx); return err },
		"plan":     func(s *imagestore.Store) error { _, err := s.Plan(ctx, newest); return err },
		"plan-far": func(s *imagestore.Store) error { _, err := s.Plan(ctx, newest, oldest); return err },
		"open": func(*imagestore.Store) error {
			s, err := imagestore.Open(dir)
			if err == nil {
				_, err = s.Catalog.Read(ctx)
			}
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := f(st); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
