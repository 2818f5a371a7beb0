package appliance

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/appliance/authority"
	"griddle/appliance/config"
	"griddle/appliance/site/notice"
	"griddle/imagestore/blob"
)

// TestNoticeFollowsTheSite: each change of what machines should know makes a notice with a higher number, and nothing
// else does, not a restart either.
func TestNoticeFollowsTheSite(t *testing.T) {
	r := newRunning(t, config.ImagesPublic)
	ctx, clock := t.Context(), time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)
	r.log, r.bootDir, r.addr = slog.New(slog.DiscardHandler), t.TempDir(), netip.MustParseAddr("127.0.0.1")
	r.now = func() time.Time { return clock }
	var err error
	if r.authority, err = authority.Open(r.state.dir, r.addr, nil, r.now); err != nil {
		t.Fatal(err)
	}
	keeper := &noticeKeeper{s: r.server}
	get := func() notice.Notice {
		t.Helper()
		head, b, err := keeper.Signed(ctx)
		if err != nil || len(head) == 0 {
			t.Fatalf("Signed() = a head of %d bytes, %v", len(head), err)
		}
		n, err := notice.Open(b, r.store.Key.Public())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	same := func(why string, before notice.Notice) {
		t.Helper()
		if n := get(); n.Seq != before.Seq {
			t.Errorf("%s: the number was %d and is %d", why, before.Seq, n.Seq)
		}
	}
	higher := func(why string, before notice.Notice) notice.Notice {
		t.Helper()
		n := get()
		if n.Newer(before) != nil || n.Seq == before.Seq {
			t.Errorf("%s: the number was %d and is %d", why, before.Seq, n.Seq)
		}
		return n
	}
	n := get()
	if n.Seq != clock.Unix() || n.Agent != nil || n.At.HTTPS != r.httpsURL() ||
		n.At.CA != string(r.authority.Bundle()) {
		t.Errorf("the notice is %+v", n)
	}
	same("nothing changed", n)
	clock = clock.Add(time.Hour)
	keeper = &noticeKeeper{s: r.server}
	same("the server was restarted", n)

	if err := r.store.Revoke(ctx, r.key.Public()); err != nil {
		t.Fatal(err)
	}
	revoked := higher("a key was revoked", n)
	lists := func(n notice.Notice) bool {
		return slices.ContainsFunc(slices.Concat(n.At.Trusted, n.At.Limited), func(l string) bool {
			return strings.HasPrefix(l, r.key.Public().String())
		})
	}
	if !lists(n) || lists(revoked) {
		t.Errorf("the notice lists %v, and %v after the revocation", n.At.Limited, revoked.At.Limited)
	}
	if _, err := authority.MakeNext(r.state.dir, clock); err != nil {
		t.Fatal(err)
	}
	if err := r.authority.Reread(); err != nil {
		t.Fatal(err)
	}
	n = higher("there is a next CA", revoked)
	if strings.Count(n.At.CA, "BEGIN") != 2 {
		t.Errorf("the notice has the CAs %s", n.At.CA)
	}

	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(r.bootDir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(agentName, "an agent")
	same("an agent without its version", n)
	write(buildName, `{"version":"abc of 2026-11-29","time":1795939200,"kernel":"6"}`)
	n = higher("there is an agent", n)
	if a := n.Agent; a == nil || a.Size != 8 || a.Built != 1795939200 || a.Path != "/boot/griddle-agent" ||
		a.SHA256 != string(blob.Sum([]byte("an agent")))[len("sha256:"):] {
		t.Errorf("the notice has the agent %+v", a)
	}
	same("the agent is the same", n)
	write(agentName, "another agent")
	n = higher("there is another agent", n)

	// A backup that is restored has a lower number, and signs the next one above all that machines saw.
	if err := os.Remove(r.state.path(noticeFile)); err != nil {
		t.Fatal(err)
	}
	clock = clock.Add(time.Hour)
	keeper = &noticeKeeper{s: r.server}
	higher("the state was restored", n)
}
