package imagestore_test

import (
	"bytes"
	"errors"
	"os/exec"
	"testing"

	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/ref"
)

func TestStream(t *testing.T) {
	zstdProgram := imagetest.Need(t, "zstd")
	both(t, func(t *testing.T, f *fixture) {
		one, two, three := imagetest.Bytes(1, document.PieceSize+1000),
			imagetest.Bytes(2, 2000), imagetest.Bytes(3, 3000)
		f.publish("web:1@amd64", way{"", one})
		f.publish("web:2@amd64", way{"web:1@amd64", two})
		f.publish("web:3@amd64", way{"web:2@amd64", three})
		f.publish("web:4@amd64", way{"", three})
		for _, c := range []struct {
			ref, from string
			want      []byte
			is        error
		}{
			{"web:1", "", one, nil},
			{"web:2", "web:1", two, nil},
			{"web:3", "web:1", append(bytes.Clone(two), three...), nil},
			{"web:3", "", append(append(bytes.Clone(one), two...), three...), nil},
			{"web:4", "web:1", nil, catalog.ErrNoWay},
			{"web:1", "web:2", nil, catalog.ErrNoWay},
			{"web:1", "web:1", nil, catalog.ErrNoWay},
			{"web:1", "web:9", nil, catalog.ErrNotFound},
			{"nothing", "", nil, catalog.ErrNotFound},
		} {
			var from *ref.Ref
			if c.from != "" {
				r := imagetest.Ref(t, c.from)
				from = &r
			}
			for _, raw := range []bool{true, false} {
				var out bytes.Buffer
				err := f.s.Stream(t.Context(), imagetest.Ref(t, c.ref), from, raw, &out)
				if !errors.Is(err, c.is) || c.is != nil && out.Len() > 0 {
					t.Errorf("Stream(%s from %q) = %v after %d bytes, want %v", c.ref, c.from, err, out.Len(), c.is)
					continue
				}
				got := out.Bytes()
				if !raw && c.is == nil {
					cmd := exec.Command(zstdProgram, "-dc")
					cmd.Stdin = &out
					if got, err = cmd.Output(); err != nil {
						t.Errorf("zstd -d of Stream(%s from %q): %v", c.ref, c.from, err)
					}
				}
				if !bytes.Equal(got, c.want) {
					t.Errorf("Stream(%s from %q) = %d bytes, want %d", c.ref, c.from, len(got), len(c.want))
				}
			}
		}
	})
}
