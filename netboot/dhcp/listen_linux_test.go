package dhcp

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"
)

// Packets that the kernel has no room for are counted, and said.
func TestDropped(t *testing.T) {
	conn, err := Listen(t.Context(), "lo", 0, false)
	if err != nil {
		t.Fatalf("%v (run this test as root)", err)
	}
	if err := conn.SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	to := conn.LocalAddr().(*net.UDPAddr)
	out, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: to.Port})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	const sent = 200
	for range sent {
		if _, err := out.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	var log strings.Builder
	s := &Server{Log: slog.New(slog.NewTextHandler(&log, nil))}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error)
	go func() { done <- s.Serve(ctx, conn, ServerPort) }()
	// What was queued does not know of what was lost after it; the next packet does.
	for s.Counters.Dropped.Load() == 0 && t.Context().Err() == nil {
		if _, err := out.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := s.Counters.Dropped.Load(); got == 0 || got > sent || !strings.Contains(log.String(), "were lost") {
		t.Errorf("%d of %d are counted as dropped; log:\n%s", got, sent, log.String())
	}
}

func TestLoss(t *testing.T) {
	var log strings.Builder
	s := &Server{}
	l := loss{log: slog.New(slog.NewTextHandler(&log, nil)), count: &s.Counters.Dropped}
	now := time.Unix(1e9, 0)
	for n, all := range []uint32{3, 5, 5, 1<<32 - 1, 4} {
		l.seen(all, now.Add(time.Duration(n)*25*time.Second))
	}
	if got, want := s.Counters.Dropped.Load(), uint64(1<<32+4); got != want {
		t.Errorf("dropped = %d, want %d", got, want)
	}
	if got := log.String(); strings.Count(got, "were lost") != 2 || !strings.Contains(got, "requests=3\n") {
		t.Errorf("log:\n%s", got)
	}
}
