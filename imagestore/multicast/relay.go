package multicast

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"griddle/imagestore/blob"
)

// Spool is one encoding that a relay fetches once, in order, and keeps whole: for itself, and for its neighbours. It is a file without
// a name, which goes away with the last reader.
type Spool struct {
	encoding blob.Digest
	size     int64
	layout   Layout
	hashes   Hashes
	digest   blob.Digest // of the hashes
	file     *os.File

	mu    sync.Mutex
	wake  chan struct{} // closed and made anew when the prefix grows
	done  int64         // bytes from 0 that are there and right
	ended error
}

// NewSpool makes one in a directory that has room for the encoding of s; sources are asked for the hashes of its blocks.
func NewSpool(ctx context.Context, dir string, s Session, sources []blob.Reader) (*Spool, error) {
	if err := s.Layout.Validate(); err != nil {
		return nil, err
	}
	if s.Size < 1 || s.Size > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrSession, s.Size)
	}
	sp := &Spool{encoding: s.Encoding, size: s.Size, layout: s.Layout, digest: s.Hashes, wake: make(chan struct{})}
	var err error
	if sp.hashes, err = FetchHashes(ctx, sources, s); err != nil {
		return nil, fmt.Errorf("relaying %s: %w", s.Encoding, err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return nil, fmt.Errorf("relaying %s: looking for room in %s: %w", s.Encoding, dir, err)
	}
	if room := int64(st.Bavail) * st.Bsize; room < s.Size+s.Size/16 {
		return nil, fmt.Errorf("relaying %s: it has %d bytes, and %s has room for %d", s.Encoding, s.Size, dir, room)
	}
	if sp.file, err = os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600); err != nil {
		return nil, fmt.Errorf("relaying %s: %w", s.Encoding, err)
	}
	return sp, nil
}

// Close takes the file away.
func (s *Spool) Close() error {
	s.end(errStockClosed)
	return s.file.Close()
}

// Verified is how many bytes from 0 on are there and right.
func (s *Spool) Verified() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done
}

func (s *Spool) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = err
		close(s.wake)
		s.wake = make(chan struct{})
	}
}

func (s *Spool) grow(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done += n
	close(s.wake)
	s.wake = make(chan struct{})
}

// Fill fetches what is missing, from whichever source has it, for as long as it takes. It is called once at a time. tell and retry are
// those of DownloadOptions, and may be nil.
func (s *Spool) Fill(ctx context.Context, sources []blob.Reader, tell func(Progress), retry func(err error, attempt int)) error {
	d := &Download{o: DownloadOptions{Encoding: s.encoding, Size: s.size, HTTP: sources, Layout: s.layout, Tell: tell, Backoff: 250 * time.Millisecond, Retry: retry}, hashes: s.hashes}
	d.stock = newStock(s.layout, s.size, 4*s.layout.Block())
	first := s.Verified() / s.layout.Block()
	d.stock.next = int(first)
	for i := range int(first) {
		d.stock.have[i/64] |= 1 << (i % 64)
		d.stock.left--
	}
	defer d.stock.close()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := d.Fill(ctx, nil)
		d.tellEnd()
		d.stock.end(errors.Join(err, errDownloaded))
		return err
	})
	g.Go(func() error {
		for s.Verified() < s.size {
			b, err := d.stock.take()
			if err == nil {
				_, err = s.file.WriteAt(b, s.Verified())
			}
			if err != nil {
				return fmt.Errorf("relaying %s: %w", s.encoding, err)
			}
			s.grow(int64(len(b)))
		}
		return nil
	})
	err := g.Wait()
	if err != nil {
		s.end(err)
	}
	return err
}

// await waits until byte off is there, and returns how many from there on are.
func (s *Spool) await(ctx context.Context, off int64) (int64, error) {
	for {
		s.mu.Lock()
		done, ended, wake := s.done, s.ended, s.wake
		s.mu.Unlock()
		switch {
		case off >= s.size:
			return 0, io.EOF
		case done > off:
			return done - off, nil
		case ended != nil:
			return 0, ended
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-wake:
		}
	}
}

// Reader reads the encoding from its beginning while it comes. Closing it closes nothing else.
func (s *Spool) Reader(ctx context.Context) io.ReadSeeker { return &follower{s: s, ctx: ctx} }

// follower reads what is there, and waits for the rest.
type follower struct {
	s   *Spool
	ctx context.Context
	at  int64
}

func (f *follower) Read(p []byte) (int, error) {
	n, err := f.s.await(f.ctx, f.at)
	if err != nil {
		return 0, err
	}
	k, err := f.s.file.ReadAt(p[:min(int64(len(p)), n)], f.at)
	f.at += int64(k)
	if k > 0 {
		err = nil
	}
	return k, err
}

func (f *follower) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += f.at
	case io.SeekEnd:
		off += f.s.size
	}
	if off < 0 {
		return 0, errors.New("seeking before the beginning")
	}
	f.at = off
	return off, nil
}

// ServeHTTP serves the encoding and the list of its hashes as blobs, ranges too. What has not come yet is waited for.
func (s *Spool) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w = newImpatient(w)
	switch r.URL.Path {
	case blob.Path + "/" + string(s.encoding):
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("ETag", strconv.Quote(string(s.encoding)))
		http.ServeContent(w, r, "", time.Time{}, s.Reader(r.Context()))
	case blob.Path + "/" + string(s.digest):
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write(s.hashes)
	default:
		http.NotFound(w, r)
	}
}

// impatient breaks a connection off whose other side takes nothing. What a response waits for on this side does not count.
type impatient struct {
	http.ResponseWriter
	control *http.ResponseController
}

// takeTime is how long a neighbour may take nothing of a response.
const takeTime = 30 * time.Second

func newImpatient(w http.ResponseWriter) impatient {
	i := impatient{w, http.NewResponseController(w)}
	i.extend() // for a response without a body
	return i
}

func (i impatient) extend() { _ = i.control.SetWriteDeadline(time.Now().Add(takeTime)) }

func (i impatient) Write(b []byte) (int, error) {
	i.extend()
	return i.ResponseWriter.Write(b)
}

// neighbours is how many connections a relay has at once; whoever finds no room asks the origin.
const neighbours = 256

// HoldOptions say how a relay holds a session.
type HoldOptions struct {
	Order   RelayOrder
	Network Network // whose neighbours it serves
	Budget  *Budget // nil means one of the order's rate
	Report  func(context.Context, RelayReport) (RelayCommand, error)
	Status  func(SessionStatus) // told every RelayInterval; may be nil
	Log     *slog.Logger        // nil logs nothing
}

// Hold sends what the spool has to the neighbours, by multicast and, unless the order is private, by HTTP, until the session is over or ctx ends. The control plane
// hears of it every RelayInterval; where it cannot be reached the session goes on, and where it knows none such it ends.
func (s *Spool) Hold(ctx context.Context, o HoldOptions) error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ses := o.Order.Session
	ifi, err := net.InterfaceByName(o.Network.Interface)
	if err != nil {
		return fmt.Errorf("relaying %s: %w", s.encoding, err)
	}
	if o.Budget == nil {
		o.Budget = NewBudget(o.Order.Rate)
	}
	sender, err := NewSender(SenderOptions{
		ID: ses.ID, Secret: o.Order.Secret, Layout: ses.Layout, Size: ses.Size, Encoding: ses.Encoding, Source: s.file, Verified: s.Verified,
		Group: ses.Group, Interface: ifi, Address: o.Network.Prefix.Addr(), TTL: o.Order.TTL, Budget: o.Budget, Gather: o.Order.Gather, Machines: o.Order.Machines, Log: o.Log,
	})
	if err != nil {
		return err
	}
	var l net.Listener
	var urls []string
	if !o.Order.Private {
		if l, err = net.Listen("tcp4", netip.AddrPortFrom(o.Network.Prefix.Addr(), 0).String()); err != nil {
			return fmt.Errorf("relaying %s: %w", s.encoding, err)
		}
		urls = []string{"http://" + l.Addr().String()}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer cancel()
		return sender.Run(ctx)
	})
	if l != nil {
		s.serveNeighbours(ctx, g, l)
	}
	g.Go(func() error {
		s.obey(ctx, sender, o, urls)
		return nil
	})
	return g.Wait()
}

// serveNeighbours gives what the spool has by HTTP, to everybody who asks, until ctx ends.
func (s *Spool) serveNeighbours(ctx context.Context, g *errgroup.Group, l net.Listener) {
	l = netutil.LimitListener(l, neighbours)
	web := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	g.Go(func() error {
		if err := web.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		return web.Close()
	})
}

// obey reports, and does what the answers say.
func (s *Spool) obey(ctx context.Context, sender *Sender, o HoldOptions, urls []string) {
	report := func(ctx context.Context) {
		st := sender.Status()
		if o.Status != nil {
			o.Status(st)
		}
		c, err := o.Report(ctx, RelayReport{Session: o.Order.Session.ID, Sender: sender.Address(), Sources: urls, Status: st})
		switch {
		case errors.Is(err, ErrNoSession):
			sender.Stop()
		case err != nil:
			o.Log.Warn("the appliance does not hear of this relay", "error", err)
		}
		if c.Start {
			sender.Start()
		}
		if c.Hold != nil {
			sender.Hold(*c.Hold)
		}
		if c.Cap != nil {
			sender.Cap(*c.Cap)
		}
		if c.Stop {
			sender.Stop()
		}
	}
	t := time.NewTicker(RelayInterval)
	defer t.Stop()
	for {
		report(ctx)
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), RelayInterval)
			defer cancel()
			report(last)
			return
		case <-t.C:
		}
	}
}
