package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/testbed"
)

// ours is Griddle.
type ours struct{ order order }

// process is a child that runs.
type process struct {
	replies chan reply // closed at its end
	end     func() (time.Duration, error)
}

// child starts one in a host.
func (t *trial) child(ctx context.Context, h *testbed.Host, o order) (*process, error) {
	if len(t.o.Child) == 0 {
		return nil, errors.New("Options.Child is not set")
	}
	in, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	c := h.Command(ctx, t.o.Child[0], t.o.Child[1:]...)
	c.Stdin = bytes.NewReader(in)
	var said bytes.Buffer
	c.Stderr = &said
	// A killed process has told what it did before.
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 10 * time.Second
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	p := &process{replies: make(chan reply, 16)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(p.replies)
		for dec := json.NewDecoder(out); ; {
			var r reply
			if err := dec.Decode(&r); err != nil {
				_, _ = io.Copy(io.Discard, out)
				return
			}
			p.replies <- r
		}
	}()
	p.end = func() (time.Duration, error) {
		<-read
		err := c.Wait()
		if ctx.Err() != nil {
			err = nil
		}
		if err != nil {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(said.Bytes()))
		}
		return c.ProcessState.UserTime() + c.ProcessState.SystemTime(), err
	}
	return p, nil
}

func (u *ours) send(ctx context.Context, t *trial) (func() (time.Duration, error), error) {
	f, err := os.Open(t.file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	l := multicast.DefaultLayout()
	hashes, err := multicast.HashBlocks(f, l)
	if err != nil {
		return nil, err
	}
	sum, err := hashFile(t.file)
	if err != nil {
		return nil, err
	}
	secret := multicast.NewSecret()
	s := multicast.Session{ID: multicast.NewID(), Encoding: blob.Digest("sha256:" + sum), Size: t.o.Size, Layout: l,
		Hashes: blob.Sum(hashes),
		Group:  netip.AddrPortFrom(netip.MustParseAddr("239.255.87.1"), groupPort)}
	if s.Key, err = multicast.GroupKey(secret, s.ID); err != nil {
		return nil, err
	}
	u.order = order{Rate: t.o.Rate / 8, Receivers: t.o.Receivers, Session: s, Secret: secret, Hashes: hashes,
		HTTP: fmt.Sprintf("http://10.87.0.1:%d", httpPort)}
	if t.o.Late > 0 {
		u.order.Receivers--
	}
	t.begin = time.Now() // the hashes are there before anybody asks, in a server
	o := u.order
	o.Role, o.File = "send", t.file
	p, err := t.child(ctx, t.bed.Sender, o)
	if err != nil {
		return nil, err
	}
	r, ok := <-p.replies
	if !ok {
		_, err := p.end()
		return nil, errors.Join(errors.New("it ended at once"), err)
	}
	u.order.Session.Sender = r.Sender
	go func() {
		for r := range p.replies {
			if !r.First.IsZero() {
				t.mu.Lock()
				t.first = r.First
				t.mu.Unlock()
			}
		}
	}()
	return p.end, nil
}

func (u *ours) receive(ctx context.Context, t *trial, i int) (string, Received, error) {
	o := u.order
	o.Role, o.File = "receive", filepath.Join(t.dir, fmt.Sprintf("got%d", i))
	o.Session.Receiver = uint16(i + 1)
	var err error
	if o.Session.ReceiverKey, err = multicast.ReceiverKey(o.Secret, o.Session.ID, o.Session.Receiver); err != nil {
		return "", Received{}, err
	}
	if t.o.Spool {
		o.Spool = t.dir
	}
	begin := time.Now()
	p, err := t.child(ctx, t.bed.Receivers[i], o)
	if err != nil {
		return "", Received{}, err
	}
	var r reply
	for x := range p.replies {
		r = x
	}
	_, err = p.end()
	if err == nil && r.Err != "" {
		err = errors.New(r.Err)
	}
	if err == nil && r.Last.IsZero() {
		err = errors.New("it did not end within the limit")
	}
	t.mu.Lock()
	first := t.first
	t.mu.Unlock()
	if i == t.o.Receivers-1 && t.o.Late > 0 || first.IsZero() {
		first = begin
	}
	return o.File, Received{Data: r.Last.Sub(first), CPU: r.CPU, Way: r.Way}, err
}
