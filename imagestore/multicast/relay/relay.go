// Package relay has a machine fetch an encoding once and give it to the other machines of its network, by multicast
// and by HTTP.
//
// NewSpool makes a place for the encoding, Fill fetches it, and Hold holds the session that the control plane
// ordered. Reader reads the encoding on this machine itself. All of them may run at once: everything that came is
// passed on at once.
//
// A Spool gives out only blocks whose SHA-256 matches the list of the session. It is a file without a name, so
// nothing of it is left when the program ends.
package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/sender"
)

// HoldOptions say how a relay holds a session. Order, Network and Report must be given.
type HoldOptions struct {
	Order   multicast.RelayOrder
	Network multicast.Network // whose neighbours it serves
	Budget  *multicast.Budget // nil means the order's rate
	Report  func(context.Context, multicast.RelayReport) (multicast.RelayCommand, error)
	Status  func(multicast.SessionStatus) // called every multicast.RelayInterval; may be nil
	Log     *slog.Logger                  // nil logs nothing
}

// Hold sends what the spool has to the neighbours, by multicast and, unless the order is private, by HTTP, until the
// session is over or ctx ends. It reports every multicast.RelayInterval. If the control plane cannot be reached, the
// session continues; if it does not know the session (multicast.ErrNoSession), the session ends.
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
		o.Budget = multicast.NewBudget(o.Order.Rate)
	}
	snd, err := sender.New(sender.Options{
		ID: ses.ID, Secret: o.Order.Secret, Layout: ses.Layout, Size: ses.Size, Encoding: ses.Encoding,
		Source: s.file, Verified: s.Verified,
		Group: ses.Group, Interface: ifi, Address: o.Network.Prefix.Addr(), TTL: o.Order.TTL, Budget: o.Budget,
		Gather: o.Order.Gather, Machines: o.Order.Machines, Log: o.Log,
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
		return snd.Run(ctx)
	})
	if l != nil {
		s.serveNeighbours(ctx, g, l)
	}
	g.Go(func() error {
		s.obey(ctx, snd, o, urls)
		return nil
	})
	return g.Wait()
}

// obey sends reports, and carries out the orders in the answers.
func (s *Spool) obey(ctx context.Context, snd *sender.Sender, o HoldOptions, urls []string) {
	report := func(ctx context.Context) {
		st := snd.Status()
		if o.Status != nil {
			o.Status(st)
		}
		c, err := o.Report(ctx, multicast.RelayReport{Session: o.Order.Session.ID, Sender: snd.Address(),
			Sources: urls, Status: st})
		switch {
		case errors.Is(err, multicast.ErrNoSession):
			snd.Stop()
		case err != nil:
			o.Log.Warn("reporting this relay to the server failed; trying again", "error", err)
		}
		if c.Start {
			snd.Start()
		}
		if c.Hold != nil {
			snd.Hold(*c.Hold)
		}
		if c.Cap != nil {
			snd.Cap(*c.Cap)
		}
		if c.Stop {
			snd.Stop()
		}
	}
	t := time.NewTicker(multicast.RelayInterval)
	defer t.Stop()
	for {
		report(ctx)
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), multicast.RelayInterval)
			defer cancel()
			report(last)
			return
		case <-t.C:
		}
	}
}
