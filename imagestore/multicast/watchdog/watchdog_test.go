package watchdog

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"griddle/imagestore/blob"
)

// source hangs at its Open, or after the first bytes.
type source struct {
	opens bool
	first string
	fails error
}

func (s source) Open(ctx context.Context, _ blob.Digest, _, _ int64) (io.ReadCloser, error) {
	if s.fails != nil {
		return nil, s.fails
	}
	if !s.opens {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	r, w := io.Pipe()
	context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })
	go io.WriteString(w, s.first)
	return r, nil
}

func (s source) Stat(ctx context.Context, _ blob.Digest) (int64, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func TestSourceHangs(t *testing.T) {
	away := errors.New("no route to host")
	for _, c := range []struct {
		name  string
		src   source
		bytes string
		want  string
		after time.Duration
	}{
		{"at its Open", source{}, "", "nothing came for 15s", Silence},
		{"at once", source{opens: true}, "", "nothing came for 15s", time.Hour + Silence},
		{"in the middle", source{opens: true, first: "griddle"}, "griddle", "nothing came for 15s",
			time.Hour + Silence},
		{"refuses", source{fails: away}, "", "no route to host", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var b []byte
				rc, err := Open(t.Context(), c.src, "", 0, -1)
				if err == nil {
					time.Sleep(time.Hour) // the caller is busy, which does not count
					b, err = io.ReadAll(rc)
					rc.Close()
				}
				if err == nil || !strings.Contains(err.Error(), c.want) || string(b) != c.bytes {
					t.Errorf("read %q, %v; want %q, %q", b, err, c.bytes, c.want)
				}
				if got := time.Since(begin); got != c.after {
					t.Errorf("it took %v, want %v", got, c.after)
				}
			})
		})
	}
}

func TestDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context) error { _, err := source{}.Stat(ctx, ""); return err }
		begin := time.Now()
		if err := Do(t.Context(), hang); err == nil || err.Error() != "nothing came for 30s" ||
			time.Since(begin) != AnswerTime {
			t.Errorf("Do() = %v after %v", err, time.Since(begin))
		}
		if err := Do(t.Context(), func(context.Context) error { return nil }); err != nil {
			t.Errorf("Do() = %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := Do(ctx, hang); !errors.Is(err, context.Canceled) {
			t.Errorf("Do() = %v, want %v", err, context.Canceled)
		}
	})
}
