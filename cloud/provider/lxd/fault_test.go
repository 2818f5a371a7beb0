package lxd_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/cloud/provider"
	"griddle/cloud/provider/lxd"
	"griddle/cloud/provider/lxd/lxdtest"
	"griddle/cloud/provider/providertest"
)

// bringUp makes a stack with one server, as often asked again as the errors are temporary.
func bringUp(ctx context.Context, p *lxd.Provider) error {
	again := func(w provider.Want) (r provider.Resource, err error) {
		for range 40 {
			r, err = p.Ensure(ctx, w)
			if err != nil && !errors.Is(err, provider.ErrTemporary) || err == nil && r.State != provider.Pending {
				return r, err
			}
		}
		return r, fmt.Errorf("asked 40 times: %v: %w", r.State, err)
	}
	i := providertest.Blank(provider.Tree, 0)
	n := &provider.Network{Stack: "demo", Name: "net", Prefix: netip.MustParsePrefix("10.77.0.0/24")}
	f := &provider.Firewall{Stack: "demo", Name: "web",
		Rules: []provider.Rule{{Protocol: "tcp", From: 22, To: 22, Source: netip.MustParsePrefix("0.0.0.0/0")}}}
	ids := make(map[provider.Kind]string)
	for _, w := range []provider.Want{i, n, f, &provider.Address{Stack: "demo", Name: "ip"},
		&provider.Volume{Stack: "demo", Name: "data", Size: 1 << 30}} {
		r, err := again(w)
		if err != nil {
			return err
		}
		ids[r.Kind] = r.ID
	}
	r, err := again(&provider.Server{
		Stack: "demo", Name: "web-1", Image: ids[provider.KindImage], Size: "small", Network: ids[provider.KindNetwork],
		Firewall: ids[provider.KindFirewall], Address: ids[provider.KindAddress],
		Volumes: []string{ids[provider.KindVolume]}, UserData: []byte("#cloud-config\n{}\n"),
	})
	if err == nil && r.State != provider.Ready {
		err = fmt.Errorf("the server is %s: %s", r.State, r.Reason)
	}
	return err
}

func takeDown(ctx context.Context, p *lxd.Provider) error {
	for range 40 {
		all, err := p.List(ctx, "demo")
		if err == nil && len(all) == 0 {
			return nil
		}
		slices.Reverse(all)
		for _, r := range all {
			if err := p.Remove(ctx, r); err != nil && !errors.Is(err, provider.ErrTemporary) {
				return err
			}
		}
	}
	return errors.New("asked 40 times, and something is left")
}

// TestFaultsEverywhere has each request fail once: by an answer before LXD did anything, and by none after it did all;
// the same stack stands then, and the same is gone.
func TestFaultsEverywhere(t *testing.T) {
	plain := lxdtest.NewFake()
	p := open(t, serve(t, plain))
	if err := bringUp(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	want := plain.Paths()
	if err := takeDown(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	left := plain.Paths()
	requests := plain.Requests()
	t.Logf("%d requests; %v", requests, want)
	for after, code := range map[bool]int{false: http.StatusInternalServerError, true: -1} {
		t.Run(fmt.Sprintf("%d after=%v", code, after), func(t *testing.T) {
			for at := range requests {
				f := lxdtest.NewFake()
				f.Slow = at % 3
				f.Fault = func(n int, _ *http.Request) (int, bool) {
					if n == at {
						return code, after
					}
					return 0, false
				}
				c := serve(t, f)
				p := open(t, c)
				if err := bringUp(t.Context(), p); err != nil {
					t.Fatalf("request %d failing: %v", at, err)
				}
				// The fingerprint of an image is its own, and so are all names.
				if got := f.Paths(); !slices.Equal(got, want) {
					t.Fatalf("request %d failing: there are %v, want %v", at, got, want)
				}
				if err := takeDown(t.Context(), p); err != nil {
					t.Fatalf("request %d failing: %v", at, err)
				}
				if got := f.Paths(); !slices.Equal(got, left) {
					t.Fatalf("request %d failing: left are %v, want %v", at, got, left)
				}
			}
		})
	}
}

// TestKilled ends the context at each request, and goes on with another Provider.
func TestKilled(t *testing.T) {
	plain := lxdtest.NewFake()
	if err := bringUp(t.Context(), open(t, serve(t, plain))); err != nil {
		t.Fatal(err)
	}
	want := plain.Paths()
	for at := range plain.Requests() {
		f := lxdtest.NewFake()
		ctx, cancel := context.WithCancel(t.Context())
		f.Fault = func(n int, _ *http.Request) (int, bool) {
			if n == at {
				cancel()
			}
			return 0, false
		}
		c := serve(t, f)
		if err := bringUp(ctx, open(t, c)); !errors.Is(err, context.Canceled) && err != nil {
			t.Fatalf("killed at request %d: %v, want context.Canceled", at, err)
		}
		cancel()
		f.SetFault(nil)
		if err := bringUp(t.Context(), open(t, c)); err != nil {
			t.Fatalf("after a kill at request %d: %v", at, err)
		}
		if got := f.Paths(); !slices.Equal(got, want) {
			t.Fatalf("after a kill at request %d there are %v, want %v", at, got, want)
		}
	}
}

// TestRefused has LXD refuse for good.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		code int
		want error
	}{{401, provider.ErrCredentials}, {403, provider.ErrCredentials}, {400, provider.ErrInvalid}} {
		f := lxdtest.NewFake()
		f.Fault = func(int, *http.Request) (int, bool) { return c.code, false }
		p := open(t, serve(t, f))
		if _, err := p.List(t.Context(), "demo"); !errors.Is(err, c.want) {
			t.Errorf("%d: List = %v, want %v", c.code, err, c.want)
		}
	}
	p := open(t, lxd.Config{Socket: t.TempDir() + "/none"})
	if _, err := p.List(t.Context(), "demo"); err == nil || errors.Is(err, provider.ErrTemporary) ||
		!strings.Contains(err.Error(), "does not run here") {
		t.Errorf("without a socket List = %v", err)
	}
}

// TestHandDeleted has somebody delete what a stack stands on.
func TestHandDeleted(t *testing.T) {
	f := lxdtest.NewFake()
	p := open(t, serve(t, f))
	if err := bringUp(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	want := f.Paths()
	f.Drop("/1.0/instances/demo--web-1")
	if err := bringUp(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if got := f.Paths(); !slices.Equal(got, want) {
		t.Errorf("after the server was deleted by hand there are %v, want %v", got, want)
	}
	for _, at := range want {
		if strings.HasPrefix(at, "/1.0/images/") {
			f.Drop(at)
		}
	}
	if err := bringUp(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if got := f.Paths(); !slices.Equal(got, want) {
		t.Errorf("after the image was deleted by hand there are %v, want %v", got, want)
	}
}

// TestBadImage sends other bytes than the digest says, and fewer.
func TestBadImage(t *testing.T) {
	f := lxdtest.NewFake()
	p := open(t, serve(t, f))
	for name, change := range map[string]func(*provider.Image){
		"digest": func(i *provider.Image) { i.Digest = "sha256:" + strings.Repeat("0", 64) },
		"size":   func(i *provider.Image) { i.Size += 4096 },
		"open": func(i *provider.Image) {
			i.Open = func() (provider.Contents, error) {
				return nil,
					errors.New("gone")
			}
		},
	} {
		i := providertest.Blank(provider.Tree, 0)
		change(i)
		_, err := p.Ensure(t.Context(), i)
		if err == nil || errors.Is(err, provider.ErrTemporary) {
			t.Errorf("%s: Ensure = %v, want a final error", name, err)
		}
	}
	if got := f.Paths(); len(got) != 1 {
		t.Errorf("there are %v, want the pool alone", got)
	}
}

// TestStuck has an operation that never ends.
func TestStuck(t *testing.T) {
	f := lxdtest.NewFake()
	f.Fault = func(_ int, r *http.Request) (int, bool) {
		if strings.HasSuffix(r.URL.Path, "/wait") {
			<-r.Context().Done()
		}
		return 0, false
	}
	c := serve(t, f)
	c.Wait = 50 * time.Millisecond
	p := open(t, c)
	if _, err := p.Ensure(t.Context(), providertest.Blank(provider.Tree, 0)); !errors.Is(err, provider.ErrTemporary) {
		t.Errorf("Ensure = %v, want ErrTemporary", err)
	}
}

// TestFailedStart has LXD refuse to start a new instance: it stays, failed, until it is removed and built anew.
func TestFailedStart(t *testing.T) {
	f := lxdtest.NewFake()
	f.Fault = func(_ int, r *http.Request) (int, bool) {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/state") {
			return http.StatusBadRequest, false
		}
		return 0, false
	}
	p := open(t, serve(t, f))
	for range 2 {
		if err := bringUp(t.Context(), p); err == nil || !strings.Contains(err.Error(), "the server is failed") {
			t.Fatalf("bringing up = %v, want it failed", err)
		}
	}
	f.SetFault(nil)
	all, err := p.List(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	r := all[len(all)-1]
	if r.Kind != provider.KindServer || r.State != provider.Failed ||
		!strings.Contains(r.Reason, "a fault of the test") {
		t.Errorf("listed is %+v", r)
	}
	if err := p.Remove(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := bringUp(t.Context(), p); err != nil {
		t.Error(err)
	}
}

// TestUnreachable has nothing listen at the socket, no socket, and nothing at a URL: the error names
// where it was looked for.
func TestUnreachable(t *testing.T) {
	socket := t.TempDir() + "/unix.socket"
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := open(t, lxd.Config{Socket: socket}).List(t.Context(), "demo"); !errors.Is(err,
		provider.ErrUnreachable) || !errors.Is(err, provider.ErrTemporary) || !strings.Contains(err.Error(), socket) {
		t.Errorf("List of a daemon that is down = %v", err)
	}
	if _, err := open(t, lxd.Config{Socket: socket + "2"}).List(t.Context(), "demo"); errors.Is(err,
		provider.ErrTemporary) || !strings.Contains(err.Error(), "LXD_SOCKET") ||
		!strings.Contains(err.Error(), socket+"2") {
		t.Errorf("List without a socket = %v", err)
	}
}
