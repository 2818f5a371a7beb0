package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/parity"
	"griddle/imagestore/multicast/sourcetest"
)

// smallLayout has blocks of 512 bytes.
var smallLayout = multicast.Layout{Code: parity.Name, K: 8, R: 8, Symbol: 64}

// sessionOf is a session of data, whose hashes are list.
func sessionOf(t *testing.T, data []byte) (s multicast.Session, list multicast.Hashes) {
	t.Helper()
	list, err := multicast.HashBlocks(bytes.NewReader(data), smallLayout)
	if err != nil {
		t.Fatal(err)
	}
	return multicast.Session{Layout: smallLayout, Size: int64(len(data)), Encoding: blob.Sum(data),
		Hashes: blob.Sum(list)}, list
}

func newTestSpool(t *testing.T, data []byte) *Spool {
	t.Helper()
	s, list := sessionOf(t, data)
	sp, err := NewSpool(t.Context(), t.TempDir(), s, []blob.Reader{sourcetest.Memory(list)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sp.Close() })
	return sp
}

func TestNewSpoolRefuses(t *testing.T) {
	data := sourcetest.Random(40 * 512)
	good, list := sessionOf(t, data)
	for _, c := range []struct {
		name   string
		dir    string
		change func(*multicast.Session)
		source blob.Reader
		want   string
	}{
		{"no room", sourcetest.SmallFilesystem(t, "16k"), nil, sourcetest.Memory(list), "has room for"},
		{"no directory", "/proc/self/nothing", nil, sourcetest.Memory(list), "free space"},
		{"other hashes", t.TempDir(), nil, sourcetest.Memory(sourcetest.Random(len(list))), "digest"},
		{"another layout", t.TempDir(), func(s *multicast.Session) { s.Layout.Code = "xor" }, sourcetest.Memory(list),
			"its code is"},
		{"no bytes", t.TempDir(), func(s *multicast.Session) { s.Size = 0 }, sourcetest.Memory(list), "0 bytes"},
		{"too many", t.TempDir(), func(s *multicast.Session) { s.Size = multicast.MaxSize + 1 },
			sourcetest.Memory(list), "bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := good
			if c.change != nil {
				c.change(&s)
			}
			sp, err := NewSpool(t.Context(), c.dir, s, []blob.Reader{c.source})
			if err == nil {
				sp.Close()
				t.Fatal("there is a spool")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("it is refused with %q, want %q", err, c.want)
			}
		})
	}
}

// A relay reads what is there while the rest comes, gives nothing out that is wrong, and fetches each byte once.
func TestSpoolFollows(t *testing.T) {
	data := sourcetest.Random(60*512 + 77)
	wrong := bytes.Clone(data)
	wrong[30*512] ^= 4
	away := errors.New("no route to host")
	for _, c := range []struct {
		name          string
		first, second *sourcetest.Scripted
		want          error
	}{
		{"a good origin", &sourcetest.Scripted{Data: data}, &sourcetest.Scripted{Data: data}, nil},
		{"one that goes away and comes back", &sourcetest.Scripted{Data: data,
			Script: func(i int, off, _ int64) (io.Reader, error) {
				switch {
				case i == 0:
					return io.MultiReader(bytes.NewReader(data[:20*512+9]), iotest.ErrReader(away)), nil
				case i < 20:
					return nil, away
				}
				return nil, nil
			}}, &sourcetest.Scripted{Data: data,
			Script: func(int, int64, int64) (io.Reader, error) { return nil, away }}, nil},
		{"one that is wrong", &sourcetest.Scripted{Data: wrong}, &sourcetest.Scripted{Data: data}, nil},
		{"all are", &sourcetest.Scripted{Data: wrong}, &sourcetest.Scripted{Data: wrong}, blob.ErrMismatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sp := newTestSpool(t, data)
				var wg sync.WaitGroup
				for range 3 {
					wg.Go(func() {
						b, err := io.ReadAll(sp.Reader(t.Context()))
						if !errors.Is(err, c.want) || !bytes.Equal(b, data[:len(b)]) ||
							c.want == nil && len(b) != len(data) {
							t.Errorf("a reader got %d bytes, %v", len(b), err)
						}
					})
				}
				err := sp.Fill(t.Context(), []blob.Reader{c.first, c.second}, nil, nil)
				wg.Wait()
				if !errors.Is(err, c.want) {
					t.Errorf("Fill() = %v, want %v", err, c.want)
				}
				if n := sp.Verified(); c.want == nil && n != int64(len(data)) || c.want != nil && n > 30*512 {
					t.Errorf("%d bytes are verified", n)
				}
			})
		})
	}
}

// A spool that is closed, or whose reader goes away, holds nobody.
func TestSpoolEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sp := newTestSpool(t, sourcetest.Random(4*512))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for _, c := range []struct {
			ctx  context.Context
			want error
		}{{ctx, context.Canceled}, {t.Context(), errClosed}} {
			wg.Go(func() {
				if _, err := io.ReadAll(sp.Reader(c.ctx)); !errors.Is(err, c.want) {
					t.Errorf("reading = %v, want %v", err, c.want)
				}
			})
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		sp.Close()
		wg.Wait()
	})
}

// A disk that is full ends it.
func TestSpoolDiskFull(t *testing.T) {
	data := sourcetest.Random(40 * 512)
	s, list := sessionOf(t, data)
	dir := sourcetest.SmallFilesystem(t, "32k") // 22 are needed, 12 of which go to somebody else
	sp, err := NewSpool(t.Context(), dir, s, []blob.Reader{sourcetest.Memory(list)})
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	if err := os.WriteFile(dir+"/other", make([]byte, 20<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := sp.Fill(t.Context(), []blob.Reader{sourcetest.Memory(data)}, nil, nil); err == nil ||
		!strings.Contains(err.Error(), "no space left") {
		t.Errorf("Fill() = %v", err)
	}
	if _, err := io.ReadAll(sp.Reader(t.Context())); err == nil {
		t.Error("a reader got all of it")
	}
}

// Neighbours get ranges of what is there at once, wait for the rest, and nothing else.
func TestSpoolServes(t *testing.T) {
	data := sourcetest.Random(40*512 + 99)
	sp := newTestSpool(t, data)
	srv := httptest.NewServer(sp)
	defer srv.Close()
	h := &blob.HTTP{Base: srv.URL, Client: srv.Client()}
	ctx := t.Context()

	gate := make(chan struct{})
	away := errors.New("no route to host")
	src := &sourcetest.Scripted{Data: data, Script: func(i int, off, _ int64) (io.Reader, error) {
		if i == 0 {
			return nil, away
		}
		return io.MultiReader(bytes.NewReader(data[off:10*512]), after(gate), bytes.NewReader(data[10*512:])), nil
	}}
	filled := make(chan error, 1)
	told := make(chan error, 10)
	go func() {
		filled <- sp.Fill(ctx, []blob.Reader{src}, nil, func(err error, attempt int) {
			told <- fmt.Errorf("%d: %w", attempt, err)
		})
	}()

	if n, err := h.Stat(ctx, sp.encoding); err != nil || n != int64(len(data)) {
		t.Errorf("Stat() = %d, %v", n, err)
	}
	rc, err := h.Open(ctx, sp.encoding, 3*512, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(rc); err != nil || !bytes.Equal(b, data[3*512:3*512+1000]) {
		t.Errorf("a range of what is there: %d bytes, %v", len(b), err)
	}
	rc.Close()
	if rc, err = h.Open(ctx, sp.encoding, 0, -1); err != nil {
		t.Fatal(err)
	}
	half := make([]byte, 4*512) // the last few kilobytes wait in the server
	if _, err := io.ReadFull(rc, half); err != nil || !bytes.Equal(half, data[:len(half)]) {
		t.Errorf("what is there: %v", err)
	}
	close(gate)
	if b, err := io.ReadAll(rc); err != nil || !bytes.Equal(b, data[len(half):]) {
		t.Errorf("the rest: %d bytes, %v", len(b), err)
	}
	rc.Close()
	if err := <-filled; err != nil {
		t.Error(err)
	}
	if err := <-told; !errors.Is(err, away) || !strings.HasPrefix(err.Error(), "1: ") || len(told) > 0 {
		t.Errorf("told of %v, and of %d more", err, len(told))
	}
	if b, err := blob.ReadAll(ctx, h, sp.digest, int64(len(sp.hashes))); err != nil || !bytes.Equal(b, sp.hashes) {
		t.Errorf("hashes: %d bytes, %v", len(b), err)
	}
	if _, err := h.Stat(ctx, blob.Sum([]byte("another"))); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("another blob: %v", err)
	}
	for _, r := range []string{"bytes=99999999-", "bytes=-0", "bytes=0-1,5-6,8-9", "nonsense", "bytes=5-1"} {
		q, err := http.NewRequestWithContext(ctx, "GET", srv.URL+blob.Path+"/"+string(sp.encoding), nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Range", r)
		p, err := srv.Client().Do(q)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, p.Body); err != nil || n > int64(len(data)) || p.StatusCode >= 500 {
			t.Errorf("Range %q: %s, %d bytes, %v", r, p.Status, n, err)
		}
		p.Body.Close()
	}
}

// after is empty once c is closed.
func after(c chan struct{}) io.Reader { return blocking{c} }

type blocking struct{ c chan struct{} }

func (b blocking) Read([]byte) (int, error) {
	<-b.c
	return 0, io.EOF
}

// A relay whose fetching fails breaks responses off: none of them looks whole.
func TestSpoolServesNoHalf(t *testing.T) {
	data := sourcetest.Random(40 * 512)
	sp := newTestSpool(t, data)
	srv := httptest.NewServer(sp)
	defer srv.Close()
	go sp.Fill(t.Context(), []blob.Reader{&sourcetest.Scripted{Data: data[:20*512],
		Script: func(_ int, off, _ int64) (io.Reader, error) {
			return bytes.NewReader(data[min(off, 20*512) : 20*512]), nil
		}}}, nil, nil)
	rc, err := (&blob.HTTP{Base: srv.URL}).Open(t.Context(), sp.encoding, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if b, err := io.ReadAll(rc); err == nil || !bytes.Equal(b, data[:len(b)]) {
		t.Errorf("%d of %d bytes, %v; want an error", len(b), len(data), err)
	}
}

// deadlines notes when what was written must be taken.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Duration // after the beginning
	at  time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.set = append(d.set, t.Sub(d.at))
	return nil
}

// A neighbour that takes nothing is cut off, and one that waits for us is not.
func TestSpoolDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := sourcetest.Random(4 * 512)
		sp := newTestSpool(t, data)
		d := &deadlines{ResponseRecorder: httptest.NewRecorder(), at: time.Now()}
		served := make(chan struct{})
		go func() {
			defer close(served)
			sp.ServeHTTP(d, httptest.NewRequestWithContext(t.Context(), "GET", blob.Path+"/"+string(sp.encoding), nil))
		}()
		time.Sleep(time.Hour) // nothing has come yet
		if err := sp.Fill(t.Context(), []blob.Reader{sourcetest.Memory(data)}, nil, nil); err != nil {
			t.Fatal(err)
		}
		<-served
		if !bytes.Equal(d.Body.Bytes(), data) || d.set[0] != takeTime || d.set[len(d.set)-1] != time.Hour+takeTime {
			t.Errorf("%d bytes, with deadlines %v", d.Body.Len(), d.set)
		}
	})
}

func TestFollowerSeeks(t *testing.T) {
	sp := newTestSpool(t, sourcetest.Random(1000))
	for _, c := range []struct {
		off    int64
		whence int
		want   int64
	}{{10, io.SeekStart, 10}, {5, io.SeekCurrent, 15}, {-1, io.SeekEnd, 999}, {0, io.SeekEnd, 1000},
		{-1, io.SeekStart, -1}, {5000, io.SeekStart, 5000}} {
		r := sp.Reader(t.Context())
		if _, err := r.Seek(10, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if c.whence == io.SeekStart && c.off < 0 {
			if _, err := r.Seek(c.off, c.whence); err == nil {
				t.Error("there is something before the beginning")
			}
			continue
		}
		if n, err := r.Seek(c.off, c.whence); err != nil || n != c.want {
			t.Errorf("Seek(%d, %d) = %d, %v; want %d", c.off, c.whence, n, err, c.want)
		}
		if c.want >= 1000 {
			if n, err := r.Read(make([]byte, 9)); n != 0 || err != io.EOF {
				t.Errorf("reading at %d: %d, %v", c.want, n, err)
			}
		}
	}
}
