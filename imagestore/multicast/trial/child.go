package trial

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
	"griddle/imagestore/multicast/receiver"
	"griddle/imagestore/multicast/sender"
)

// order is what a child gets on its standard input.
type order struct {
	Role      string // "send" or "receive"
	File      string
	Rate      int64 // payload bytes per second
	Receivers int   // that the sender waits for
	Session   multicast.Session
	Secret    multicast.Key
	Hashes    []byte
	HTTP      string // base URL of the sender's file
	Spool     string
}

// reply is a line of a child's standard output.
type reply struct {
	Sender netip.AddrPort `json:",omitzero"` // it listens
	First  time.Time      `json:",omitzero"` // it sends data
	Last   time.Time      `json:",omitzero"` // it has every byte
	Way    string         `json:",omitempty"`
	Err    string         `json:",omitempty"`
	CPU    time.Duration  `json:",omitempty"` // that it used until then
}

// The sender's ports.
const (
	httpPort  = 8099
	groupPort = 7469
)

// Child is a sender or a receiver of Griddle: it reads its order from in, and writes what happens to out.
func Child(ctx context.Context, in io.Reader, out io.Writer) error {
	var o order
	if err := json.NewDecoder(in).Decode(&o); err != nil {
		return fmt.Errorf("reading the order: %w", err)
	}
	enc := json.NewEncoder(out)
	ifi, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	if o.Role == "send" {
		return sendChild(ctx, o, ifi, enc)
	}
	return receiveChild(ctx, o, ifi, enc)
}

func sendChild(ctx context.Context, o order, ifi *net.Interface, out *json.Encoder) error {
	f, err := os.Open(o.File)
	if err != nil {
		return err
	}
	defer f.Close()
	s, err := sender.New(sender.Options{
		ID: o.Session.ID, Secret: o.Secret, Layout: o.Session.Layout, Size: o.Session.Size,
		Encoding: o.Session.Encoding, Source: f, Group: o.Session.Group,
		Interface: ifi, Address: netip.MustParseAddr("10.87.0.1"), Budget: multicast.NewBudget(o.Rate),
		Machines: o.Receivers, Gather: time.Minute,
	})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp4", fmt.Sprintf("10.87.0.1:%d", httpPort))
	if err != nil {
		return err
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, o.File) }))
	if err := out.Encode(reply{Sender: s.Address()}); err != nil {
		return err
	}
	go func() {
		t := time.NewTicker(time.Millisecond)
		defer t.Stop()
		for range t.C {
			if st := s.Status().State; st != datagram.Gathering {
				out.Encode(reply{First: time.Now()})
				return
			}
		}
	}()
	if err := s.Run(ctx); err != nil {
		return err
	}
	<-ctx.Done() // HTTP goes on for whoever needs it
	return nil
}

func receiveChild(ctx context.Context, o order, ifi *net.Interface, out *json.Encoder) error {
	f, err := os.Create(o.File)
	if err != nil {
		return err
	}
	defer f.Close()
	d, err := receiver.New(receiver.Options{
		Encoding: o.Session.Encoding, Size: o.Session.Size, HTTP: []blob.Reader{&blob.HTTP{Base: o.HTTP}},
		Layout: o.Session.Layout, Spool: o.Spool,
	})
	if err != nil {
		return err
	}
	defer d.Close()
	var outcome receiver.Outcome
	var wg sync.WaitGroup
	wg.Go(func() {
		var err error
		if outcome, err = d.Join(ctx, o.Session, o.Hashes, ifi); err == nil && outcome != receiver.Complete {
			err = d.Fill(ctx, nil)
		}
		d.End(err)
	})
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{d}, make([]byte, 1<<20))
	r := reply{Last: time.Now()}
	wg.Wait()
	p := d.Progress()
	r.Way = fmt.Sprintf("%v; %d%% multicast, %d%% HTTP", outcome, 100*p.Multicast/o.Session.Size,
		100*p.HTTP/o.Session.Size)
	if err != nil {
		r.Err = err.Error()
	}
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		r.CPU = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return out.Encode(r)
}
