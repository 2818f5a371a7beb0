package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/ref"
)

// The formats of GET /v1/images/stream.
const (
	formatZstd = "zstd" // a btrfs send stream, compressed; the default
	formatRaw  = "raw"  // a btrfs send stream
	formatTar  = "tar"
)

// stream answers GET /v1/images/stream?ref=R&from=R&format=F: what `curl … | zstd -d | btrfs receive` takes,
// or an archive. What the store has is free. A delta that is made first, and an archive, cost the server
// work, and take a token.
//
// A stream holds a frame in memory for as long as its reader takes for it. So streams have a budget (Work Streams),
// each takes from it before it is opened, and a reader that is slower than streamRate is let go.
func (h server) stream(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	format := q.Get("format")
	if format == "" {
		format = formatZstd
	}
	name, err := ref.Parse(q.Get("ref"))
	var from *ref.Ref
	if err == nil && q.Get("from") != "" {
		var f ref.Ref
		f, err = ref.Parse(q.Get("from"))
		from = &f
	}
	if err == nil &&
		(format != formatZstd && format != formatRaw && format != formatTar || format == formatTar && from != nil) {
		err = fmt.Errorf("%w: format %.20q is not zstd, raw or, without from, tar", ref.ErrInvalid, format)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	held, err := h.admit(r, Streams, streamBase)
	if err != nil {
		refuse(w, err)
		return
	}
	defer held.Release()
	planning, err := h.admit(r, Lists, h.listCost())
	if err == nil {
		err = h.mayStream(r, name, from, format)
		planning.Release()
	}
	if err != nil {
		refuse(w, err)
		return
	}
	if p, ok := w.(interface{ AtLeast(bytesPerSecond int64) }); ok {
		p.AtLeast(streamRate)
	}
	out := &streamWriter{w: w, format: format}
	if format == formatTar {
		err = h.s.Tar(r.Context(), name, out, nil)
	} else {
		err = h.s.StreamWithin(r.Context(), name, from, format == formatRaw, out, func(n int64) error {
			if err := held.Grow(n); err != nil {
				return limited(err)
			}
			return nil
		})
	}
	switch {
	case err == nil:
	case !out.begun:
		refuse(w, err)
	default:
		panic(http.ErrAbortHandler) // the client must not take what it got for the whole
	}
}

const (
	streamRate = 64 << 10  // bytes per second that a reader of a stream must take
	streamBase = 256 << 10 // bytes of memory that a stream takes before its documents are known
)

// mayStream sees to it that there is something to stream, and that who asks may ask for the work.
func (h server) mayStream(r *http.Request, of ref.Ref, from *ref.Ref, format string) error {
	if format != formatTar {
		_, err := h.s.StreamPlan(r.Context(), of, from)
		if !errors.Is(err, catalog.ErrNoWay) || from == nil {
			return err
		}
	}
	if err := h.allowed(callerOf(r), Administers); err != nil {
		return fmt.Errorf("%w: %w", blob.ErrDenied, err)
	}
	if format == formatTar {
		_, err := h.s.Resolve(r.Context(), of)
		return err
	}
	_, err := h.s.Derive(r.Context(), imagestore.DeriveOptions{Ref: of, Parent: from})
	return err
}

// streamWriter sends the header with the first byte.
type streamWriter struct {
	w      http.ResponseWriter
	format string
	begun  bool
}

func (s *streamWriter) Write(b []byte) (int, error) {
	if !s.begun {
		s.begun = true
		types := map[string]string{formatZstd: "application/zstd", formatRaw: "application/octet-stream",
			formatTar: "application/x-tar"}
		s.w.Header().Set("Content-Type", types[s.format])
		s.w.Header().Set("Cache-Control", "no-store")
	}
	return s.w.Write(b)
}

// Tar asks the server for the archive of an image.
func (c *remoteCatalog) Tar(ctx context.Context, r ref.Ref, w io.Writer) error {
	resp, err := c.do(ctx, http.MethodGet,
		ImagesPath+"/stream?format="+formatTar+"&ref="+url.QueryEscape(r.String()), nil)
	if err != nil {
		return fmt.Errorf("archiving %s: %w", r, err)
	}
	defer resp.Body.Close()
	if t := resp.Header.Get("Content-Type"); !strings.HasPrefix(t, "application/x-tar") {
		return fmt.Errorf("archiving %s: the server sent %q", r, t)
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("archiving %s: %w", r, err)
	}
	return nil
}
