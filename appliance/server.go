package appliance

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"griddle/appliance/account"
	"griddle/appliance/account/oidc"
	"griddle/appliance/api"
	"griddle/appliance/authority"
	"griddle/appliance/config"
	"griddle/appliance/fleet"
	"griddle/appliance/httpserver"
	"griddle/appliance/metrics"
	"griddle/appliance/readiness"
	"griddle/appliance/setting"
	"griddle/appliance/site"
	"griddle/appliance/webhook"
	"griddle/imagestore"
	"griddle/imagestore/head"
	"griddle/imagestore/multicast/coordinator"
	"griddle/netboot"
)

// shutdownTime is how long requests under way may take to end once the server is told to.
const shutdownTime = 5 * time.Second

// Options are what Serve needs besides the configuration. The zero value works.
type Options struct {
	Log   *slog.Logger     // nil logs nothing
	Ready func(Started)    // called once, when everything listens
	Now   func() time.Time // nil means time.Now

	// Reload asks for the configuration to be read again, with Read, and Level follows its log level. All three go
	// together; nil for a server that keeps what it began with.
	Reload <-chan os.Signal
	Read   func() (config.Config, error)
	Level  *slog.LevelVar
}

// Started says where a server listens.
type Started struct {
	HTTP, HTTPS string // base URLs
	Interface   string
	StateDir    string
}

// Serve serves until ctx ends, which is not an error. Everything that can be wrong is found before the first packet is
// answered; an Advice among its errors says what to do.
func Serve(ctx context.Context, c config.Config, o Options) (err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := c.Validate(); err != nil {
		return err
	}
	nw, err := findNetwork(c.Interface, c.Address)
	if err != nil {
		return err
	}
	boot, err := bootDir(c)
	if err != nil {
		return err
	}
	keymap, err := keymap(c, boot)
	if err != nil {
		return err
	}
	st, err := openState(c.StateDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	s := &server{config: c, log: o.Log, now: o.Now, state: st, bootDir: boot, addr: nw.prefix.Addr()}
	settings, err := s.siteSettings(c)
	if err != nil {
		return err
	}
	if err := missingTools(boot); err != nil {
		s.log.Warn("rescue shells and some layouts lack their tools", "error", err)
	}
	if s.hooks, err = s.webhooks(); err != nil {
		return err
	}
	s.live.Store(&live{c, keymap, settings})
	s.keepReserve()
	if err := s.prepare(ctx, nw); err != nil {
		return fullDisk(err, st.dir)
	}
	defer func() { err = errors.Join(err, s.streams.Close(), s.fleet.Close(), s.accounts.Close()) }()
	return fullDisk(s.run(ctx, o), st.dir)
}

// keepReserve holds room back on the state directory's file system, or gives it up where that is full.
func (s *server) keepReserve() {
	switch freed, err := s.state.reserve(); {
	case err != nil:
		s.log.Warn("the reserve for a start on a full disk could not be created", "error", err)
	case freed:
		s.log.Error("the state disk is full: the server freed its reserve and does not store unknown machines",
			"state", s.state.dir)
	}
}

// server is what one Serve holds.
type server struct {
	config  config.Config // as it was at the start; live has what changed since
	live    atomic.Pointer[live]
	log     *slog.Logger
	now     func() time.Time
	state   *state
	bootDir string
	addr    netip.Addr

	store     *imagestore.Store
	authority *authority.Authority
	fleet     *fleet.Fleet
	accounts  *account.Store
	streams   *coordinator.Coordinator
	api       *api.Handler
	callers   *callers
	ready     *readiness.Probe
	metrics   *metrics.Metrics
	hooks     []webhook.Hook
	made      siteCache
	limits    *limits
	watched   atomic.Pointer[netboot.Server] // nil until it listens
}

// notices is what an operator should know before reading the list of machines.
func (s *server) notices() []string {
	if n := s.watched.Load(); n != nil {
		return n.Notices()
	}
	return nil
}

func (s *server) httpURL() string {
	return "http://" + netip.AddrPortFrom(s.addr, uint16(s.config.HTTP)).String()
}

// imagesURL is where machines fetch images from.
func (s *server) imagesURL() string {
	if s.config.Images == config.ImagesPrivate {
		return s.httpsURL()
	}
	return s.httpURL()
}

func (s *server) httpsURL() string {
	return "https://" + netip.AddrPortFrom(s.addr, uint16(s.config.HTTPS)).String()
}

// prepare opens everything that is on the disk, and makes what a first start makes.
func (s *server) prepare(ctx context.Context, nw network) (err error) {
	open, err := s.state.tighten()
	if err != nil {
		return err
	}
	if len(open) > 0 {
		s.log.Warn("other users of this host could read secrets of this site until now; replace the secrets if "+
			"someone could have copied them", "files", strings.Join(open, ", "), "state", s.state.dir)
	}
	token, err := s.state.adminToken()
	if err != nil {
		return err
	}
	if s.store, err = imagestore.Open(s.config.StoreDir()); err != nil {
		return fmt.Errorf("opening the image store: %w", err)
	}
	if who, fix := imagestore.Readers(s.config.StoreDir()); who != "" {
		s.log.Warn("other users of this host can read the images", "who", who, "store", s.config.StoreDir(), "fix", fix)
	}
	key, err := s.state.siteKey(ctx, s.store)
	if err != nil {
		return err
	}
	if err := s.store.KeepHead(ctx, key, s.config.CatalogExpires); err != nil {
		return lostEntries(err)
	}
	hostname, err := os.Hostname()
	if err != nil {
		s.log.Warn("reading the host's name failed; the certificate does not have it", "error", err)
	}
	if s.authority, err = authority.Open(s.state.dir, s.addr, []string{hostname}, s.now); err != nil {
		return err
	}
	o := fleetOptions(s.config)
	o.Now, o.Sealer = s.now, s.state.sealer()
	if s.fleet, err = fleet.Open(ctx, s.state.path(fleetFile), o); err != nil {
		return lostKey(err)
	}
	if s.accounts, err = account.Open(ctx, s.state.path(accountFile), s.now); err != nil {
		return errors.Join(err, s.fleet.Close())
	}
	if s.streams, err = s.multicast(nw); err != nil {
		return errors.Join(err, s.accounts.Close(), s.fleet.Close())
	}
	s.api, err = api.New(api.Options{
		Fleet: s.fleet, Accounts: s.accounts, Images: images{s.store}, Names: names{s.store},
		Streams: streams{s.streams},
		Sources: []string{s.imagesURL()},
		Home:    s.httpsURL(), Admin: token, Notices: s.notices, Private: s.config.Images == config.ImagesPrivate,
		Provider: identityProvider(s.config.OIDC, s.now),
		Signed:   &noticeKeeper{s: s}, Log: s.log, Now: s.now,
		Site: func() setting.Document { return s.live.Load().settings },
	})
	if err != nil {
		return errors.Join(err, s.streams.Close(), s.accounts.Close(), s.fleet.Close())
	}
	s.callers, s.limits, s.ready = s.newCallers(), newLimits(), s.readiness()
	s.metrics = s.measured()
	return nil
}

// identityProvider is the one of c, nil for none.
func identityProvider(c config.OIDC, now func() time.Time) *oidc.Provider {
	if c.Issuer == "" {
		return nil
	}
	return oidc.New(oidc.Options{Issuer: c.Issuer, Client: c.Client, Name: c.Name, Groups: c.Groups, Now: now,
		Roles: map[account.Role][]string{account.Viewer: c.Viewer, account.Operator: c.Operator,
			account.Admin: c.Admin}})
}

// run opens the sockets and serves on them.
func (s *server) run(ctx context.Context, o Options) (err error) {
	plain, err := s.listen(ctx, s.config.HTTP, "boot files and images", "http")
	if err != nil {
		return err
	}
	defer plain.Close()
	secure, err := s.listen(ctx, s.config.HTTPS, "agents and operators", "https")
	if err != nil {
		return err
	}
	defer secure.Close()
	nb, err := netboot.Listen(ctx, s.netboot(s.config), s.fleet, s.fleet, s.log)
	var other *netboot.OtherServerError
	if errors.As(err, &other) {
		return Advice{err, "Start with --mode proxy, which works together with that server."}
	}
	if err != nil && ctx.Err() != nil {
		return nil // it was told to end while it still asked for other DHCP servers
	}
	if err != nil {
		return err
	}
	files, err := os.OpenRoot(s.bootDir)
	if err != nil {
		return errors.Join(fmt.Errorf("opening the boot files: %w", err), nb.Close())
	}
	defer files.Close()
	s.watched.Store(nb)
	if err := s.state.write(URLFile, []byte(s.httpsURL()+"\n"), 0o644); err != nil {
		return errors.Join(fmt.Errorf("saving the server's addresses: %w", err), nb.Close())
	}

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return nb.Run(ctx) })
	g.Go(func() error { return s.tidy(ctx) })
	g.Go(func() error { return s.sendWebhooks(ctx) })
	g.Go(func() error { return s.recompress(ctx) })
	g.Go(func() error { return s.api.CarryOutOrders(ctx) })
	g.Go(func() error { return s.reloads(ctx, nb, o) })
	s.serveHTTP(ctx, g, plain, "http", s.plainHandler(nb.Handler(), files))
	s.serveHTTP(ctx, g, tls.NewListener(secure, s.authority.TLSConfig()), "https", s.secureHandler())
	s.log.Info("serving", "interface", s.config.Interface, "mode", s.config.DHCP.Mode, "http", s.httpURL(),
		"https", s.httpsURL(),
		"state", s.state.dir, "boot", s.bootDir, "unknown", string(s.config.Unknown))
	if err := notify("READY=1"); err != nil {
		s.log.Warn("notifying the service manager failed", "error", err)
	}
	if o.Ready != nil {
		o.Ready(Started{HTTP: s.httpURL(), HTTPS: s.httpsURL(), Interface: s.config.Interface, StateDir: s.state.dir})
	}
	err = g.Wait()
	s.log.Info("stopped")
	return err
}

// serveHTTP serves h on l, the port called port, in g. When ctx ends, requests that wait are ended at once by their
// contexts, and those that move bytes have shutdownTime.
func (s *server) serveHTTP(ctx context.Context, g *errgroup.Group, l net.Listener, port string, h http.Handler) {
	srv := httpserver.New(s.limits.inTurn(s.callers.acquainted, h), s.log)
	srv.Handler = s.metrics.Count(port, srv.Handler)
	srv.BaseContext = func(net.Listener) context.Context { return ctx }
	g.Go(func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving on %s: %w", l.Addr(), err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		notify("STOPPING=1") // nobody who could hear that it failed is left
		end, stop := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer stop()
		if err := srv.Shutdown(end); err != nil {
			return srv.Close()
		}
		return nil
	})
}

// netboot is the network boot part of c.
func (s *server) netboot(c config.Config) netboot.Config {
	n := netboot.Config{
		Interface: c.Interface, ServerIP: s.addr, HTTPPort: uint16(c.HTTP), BootDir: s.bootDir,
		MenuTimeout: c.MenuTimeout, Relays: c.DHCP.Relays,
	}
	if c.DHCP.Mode == config.ModeFull {
		n.Mode = netboot.Full
		n.StepDown, n.ProbeTime = c.DHCP.Other == config.OtherStepDown, c.DHCP.Probe
		n.Pool = netboot.Pool{Time: c.DHCP.Lease, Router: c.DHCP.Router, DNS: c.DHCP.DNS,
			Journal: s.state.path(leasesFile)}
		n.Pool.First, n.Pool.Last, _ = c.DHCP.Range() // Validate has read it
	}
	return n
}

// fleet is what the fleet needs of c.
func fleetOptions(c config.Config) fleet.Options {
	return fleet.Options{Unknown: c.Unknown, Enrolment: c.Enrolment, Hostname: c.Hostname, Args: c.KernelArgs,
		CheckIn: c.CheckIn, Kexec: c.Kexec, Runs: c.Runs, KeepEvents: c.KeepEvents}
}

// LostEntries is what to do about head.ErrLost.
const LostEntries = "Restore the file `catalog` of the store from its newest copy. If its last entries are lost, " +
	"remove `catalog.head` next to it; " +
	"then clients that have seen these entries refuse this catalog until you delete what they remember of the site."

// lostEntries says what to do where the catalog is not what this site signed.
func lostEntries(err error) error {
	if !errors.Is(err, head.ErrLost) {
		return err
	}
	return Advice{err, LostEntries}
}

// lostKey says what to do where the settings of machines cannot be opened.
func lostKey(err error) error {
	if !errors.Is(err, fleet.ErrSealed) {
		return err
	}
	return Advice{err, "Restore " + settingsKey + " from the backup of the state directory. If the key is lost, " +
		"`griddle settings discard` deletes the settings that it sealed; then set them again."}
}

// siteCache is the site's part of the boot image, as it was made last.
type siteCache struct {
	mu   sync.Mutex
	cpio []byte
}

// siteNow is site, made by one request at a time: those who read it slowly share one copy of it.
func (s *server) siteNow(ctx context.Context) ([]byte, error) {
	s.made.mu.Lock()
	defer s.made.mu.Unlock()
	b, err := s.site(ctx)
	if err == nil && !bytes.Equal(b, s.made.cpio) {
		s.made.cpio = b
	}
	return s.made.cpio, err
}

// site is what the boot image of this site holds.
func (s *server) site(ctx context.Context) ([]byte, error) {
	our, err := s.contents(ctx)
	if err != nil {
		return nil, err
	}
	return site.Archive(our, s.live.Load().keymap)
}

// contents is what machines should know of this site. Publishing may add a trusted key.
func (s *server) contents(ctx context.Context) (site.Site, error) {
	trusted, err := s.store.Trusted(ctx)
	if err != nil {
		return site.Site{}, fmt.Errorf("reading the store's trusted keys: %w", err)
	}
	our := site.Site{HTTP: s.httpURL(), HTTPS: s.httpsURL(), CA: string(s.authority.Bundle()),
		Keymap: s.live.Load().config.Keymap}
	for _, g := range trusted.Grants() {
		if g.Limited() {
			our.Limited = append(our.Limited, g.String())
		} else {
			our.Trusted = append(our.Trusted, g.String())
		}
	}
	b, err := s.store.Head(ctx)
	if err != nil {
		return site.Site{}, err
	}
	h, key, err := head.Open(b, trusted)
	if err != nil {
		return site.Site{}, err
	}
	our.Catalog = site.Catalog{Key: key.String(), Seq: h.Seq}
	return our, nil
}
