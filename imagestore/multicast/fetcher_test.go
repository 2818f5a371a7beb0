package multicast_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/fetcher"
	"griddle/imagestore/multicast/receiver"
	"griddle/imagestore/multicast/sender"
)

// fetchEnv makes the test binary a machine that fetches: a Fetcher opens sockets whenever it likes, so that the whole
// process must be in the namespace.
const fetchEnv = "GRIDDLE_MULTICAST_FETCH"

func TestMain(m *testing.M) {
	if os.Getenv(fetchEnv) == "" {
		os.Exit(m.Run())
	}
	if err := fetch(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// errand is what such a process is told.
type errand struct {
	Encoding blob.Digest
	Answers  []multicast.Answer // of the control plane; the last one again and again
	Away     bool               // it cannot be reached
	HTTP     string
	Prefix   netip.Prefix
	Spool    string
	Slow     time.Duration // pause after each megabyte that is read
}

// fetched is what became of it.
type fetched struct {
	Sum   blob.Digest
	Size  int
	Last  receiver.Progress
	Whys  []string
	Asked []multicast.Ask
}

func fetch(in io.Reader, out io.Writer) error {
	var e errand
	if err := json.NewDecoder(in).Decode(&e); err != nil {
		return err
	}
	var mu sync.Mutex
	var res fetched
	f := fetcher.New(fetcher.Options{
		HTTP: []blob.Reader{&blob.HTTP{Base: e.HTTP}},
		Ask: func(_ context.Context, a multicast.Ask) (multicast.Answer, error) {
			mu.Lock()
			defer mu.Unlock()
			res.Asked = append(res.Asked, a)
			if e.Away {
				return multicast.Answer{}, errors.New("connection refused")
			}
			return e.Answers[min(len(res.Asked), len(e.Answers))-1], nil
		},
		Networks: func() []multicast.Network { return []multicast.Network{{Interface: "eth0", Prefix: e.Prefix}} },
		Spool:    func() string { return e.Spool },
		Tell: func(p receiver.Progress) {
			mu.Lock()
			defer mu.Unlock()
			res.Last = p
			if p.Why != "" && (len(res.Whys) == 0 || res.Whys[len(res.Whys)-1] != p.Why) {
				res.Whys = append(res.Whys, p.Why)
			}
		},
	})
	rc, err := f.Open(context.Background(), e.Encoding, 0, -1)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for err == nil {
		_, err = io.CopyN(&b, rc, 1<<20)
		time.Sleep(e.Slow)
	}
	if err != io.EOF {
		return err
	}
	if err := rc.Close(); err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	res.Sum, res.Size = blob.Sum(b.Bytes()), b.Len()
	return json.NewEncoder(out).Encode(res)
}

// serve serves the room's encoding and its hashes by HTTP, at the sender's address.
func (r *room) serve() (base string) {
	r.t.Helper()
	return r.serveBy(func(h http.Handler) http.Handler { return h })
}

func (r *room) serveBy(way func(http.Handler) http.Handler) (base string) {
	r.t.Helper()
	var l net.Listener
	if err := r.bed.Sender.Do(func() (err error) {
		l, err = net.Listen("tcp4", r.bed.Sender.Address.Addr().String()+":8099")
		return err
	}); err != nil {
		r.t.Fatal(err)
	}
	srv := &http.Server{Handler: way(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b := r.data
		if strings.HasSuffix(q.URL.Path, string(blob.Sum(r.hashes))) {
			b = r.hashes
		}
		http.ServeContent(w, q, "", time.Time{}, bytes.NewReader(b))
	}))}
	go srv.Serve(l)
	r.t.Cleanup(func() { srv.Close() })
	return "http://" + l.Addr().String()
}

// fetch runs an errand on a receiver.
func (r *room) fetch(receiver int, e errand) fetched {
	r.t.Helper()
	h := r.bed.Receivers[receiver]
	e.Encoding, e.Prefix = blob.Sum(r.data), h.Address
	in, err := json.Marshal(e)
	if err != nil {
		r.t.Fatal(err)
	}
	c := h.Command(r.t.Context(), "env", fetchEnv+"=1", os.Args[0])
	c.Stdin = bytes.NewReader(in)
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	var res fetched
	if err == nil {
		err = json.Unmarshal(out, &res)
	}
	if err != nil {
		r.t.Fatalf("fetching: %v: %s", err, said.Bytes())
	}
	if res.Sum != e.Encoding {
		r.t.Errorf("%d bytes came, and not the %d of the encoding", res.Size, len(r.data))
	}
	return res
}

// A Fetcher takes what the control plane says, and HTTP whenever that is of no use.
func TestFetcher(t *testing.T) {
	room := newRoom(t, 1, 9<<20+100)
	base := room.serve()
	for _, c := range []struct {
		name   string
		answer func(s multicast.Session) []multicast.Answer
		away   bool
		way    string // that most bytes came
		why    string
	}{
		{"session", func(s multicast.Session) []multicast.Answer { return []multicast.Answer{{Session: &s}} }, false,
			"multicast", ""},
		{"later", func(s multicast.Session) []multicast.Answer {
			return []multicast.Answer{{After: time.Millisecond, Why: "about to"}, {Session: &s}}
		}, false, "multicast", "about to"},
		{"HTTP", func(multicast.Session) []multicast.Answer { return []multicast.Answer{{Why: "no other machine"}} },
			false, "http", "no other machine"},
		{"control plane away", nil, true, "http", "did not say"},
		{"no session", func(s multicast.Session) []multicast.Answer {
			s.Key = nil
			return []multicast.Answer{{Session: &s}}
		}, false, "http", "a key is missing"},
		{"a layout that eats memory", func(s multicast.Session) []multicast.Answer {
			s.Layout.K = 60000
			return []multicast.Answer{{Session: &s}}
		}, false, "http", "not a multicast session"},
		{"another network's", func(s multicast.Session) []multicast.Answer {
			s.Sender = netip.MustParseAddrPort("10.99.0.1:5")
			return []multicast.Answer{{Session: &s}}
		}, false, "http", "no wired network"},
		{"other hashes", func(s multicast.Session) []multicast.Answer {
			s.Hashes = blob.Sum(nil)
			return []multicast.Answer{{Session: &s}}
		}, false, "http", "reading"},
		{"an order that is declined", func(multicast.Session) []multicast.Answer {
			return []multicast.Answer{{Relay: &multicast.RelayOrder{}, Why: "not me"}}
		}, false, "http", "not me"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := room.another(t, room.data, room.group)
			r.send(sender.Options{Machines: 1})
			e := errand{HTTP: base, Away: c.away}
			if c.answer != nil {
				e.Answers = c.answer(r.invite())
			}
			got := r.fetch(0, e)
			by := map[bool]string{true: "multicast", false: "http"}[got.Last.Multicast > got.Last.HTTP]
			if by != c.way || !strings.Contains(strings.Join(got.Whys, "\n"), c.why) {
				t.Errorf("by %s (%+v, said %q), want %s because of %q", by, got.Last, got.Whys, c.way, c.why)
			}
			if a := got.Asked[0]; a.Size != int64(len(r.data)) || a.Encoding != blob.Sum(r.data) ||
				len(a.Networks) != 1 {
				t.Errorf("it asked %+v", a)
			}
		})
	}
}
