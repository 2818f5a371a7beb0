package tftp

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

type files map[string][]byte

func (f files) Open(name string) (*bytes.Reader, error) {
	b, ok := f[name]
	if !ok {
		return nil, os.ErrNotExist
	}
	return bytes.NewReader(b), nil
}

// start serves fs on a free port of the loopback interface until the test ends.
func start(t testing.TB, s *Server) *net.UDPAddr {
	t.Helper()
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	conn, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, conn) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return conn.LocalAddr().(*net.UDPAddr)
}

func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

// The stock client gets the same bytes, at sizes around the block size.
func TestStockClient(t *testing.T) {
	client, err := exec.LookPath("tftp")
	if err != nil {
		t.Fatal("no tftp client (tftp-hpa): run make deps")
	}
	fs := files{"empty": {}, "511": content(511), "512": content(512), "513": content(513), "loader": content(300_000)}
	complete := make(chan string, len(fs))
	s := &Server{Files: fs, Observe: func(_ net.IP, name string) { complete <- name }}
	addr := start(t, s)
	dir := t.TempDir()
	for name, want := range fs {
		got := filepath.Join(dir, name)
		cmd := exec.Command(client, "-m", "binary", addr.IP.String(), strconv.Itoa(addr.Port),
			"-c", "get", "/"+name, got)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("tftp: %v\n%s", err, out)
		}
		if b, err := os.ReadFile(got); err != nil || !bytes.Equal(b, want) {
			t.Errorf("%s: %d bytes (%v), want %d", name, len(b), err, len(want))
		}
	}
	for range fs { // the last acknowledgement may still be under way
		<-complete
	}
	out, _ := exec.Command(client, "-m", "binary", addr.IP.String(), strconv.Itoa(addr.Port), "-c", "get", "../loader",
		filepath.Join(dir, "x")).CombinedOutput()
	if !strings.Contains(string(out), "file not found") {
		t.Errorf("asking for ../loader: %q", out)
	}
	if got := s.Counters.NotFound.Load(); got != 1 {
		t.Errorf("NotFound = %d, want 1", got)
	}
	if got := s.Counters.Sent.Load(); got != uint64(len(fs)) {
		t.Errorf("Sent = %d, want %d", got, len(fs))
	}
}

// ask sends a packet from a socket of its own and returns it with the first answer.
func ask(t testing.TB, to *net.UDPAddr, packet string) (*net.UDPConn, *net.UDPAddr, []byte) {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.WriteToUDP([]byte(packet), to); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, from, err := c.ReadFromUDP(buf)
	if err != nil {
		t.Fatalf("no answer to %q: %v", packet, err)
	}
	return c, from, buf[:n]
}

// lineWriter passes log lines on.
type lineWriter chan string

func (w lineWriter) Write(b []byte) (int, error) {
	w <- string(b)
	return len(b), nil
}

func TestProtocol(t *testing.T) {
	lines := make(lineWriter, 100)
	s := &Server{Files: files{"f": content(3000)},
		Log: slog.New(slog.NewTextHandler(lines, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	addr := start(t, s)

	// EDK2: ask for the size, abort with error 8.
	c, from, got := ask(t, addr, "\x00\x01f\x00octet\x00tsize\x000\x00blksize\x001468\x00")
	if got[1] != 6 || !strings.Contains(string(got), "tsize\x003000\x00") ||
		!strings.Contains(string(got), "blksize\x001468\x00") {
		t.Errorf("OACK = %q", got)
	}
	if _, err := c.WriteToUDP([]byte("\x00\x05\x00\x08no\x00"), from); err != nil {
		t.Fatal(err)
	}
	for line := ""; !strings.Contains(line, "ended by the client"); {
		line = <-lines
	}

	// Larger blocks than a frame holds are brought down, nonsense is not acknowledged.
	_, _, got = ask(t, addr, "\x00\x01f\x00octet\x00blksize\x0065464\x00")
	if string(got) != "\x00\x06blksize\x001468\x00" {
		t.Errorf("OACK = %q", got)
	}
	_, _, got = ask(t, addr, "\x00\x01f\x00octet\x00blksize\x007\x00windowsize\x000\x00")
	if len(got) != 516 || got[1] != 3 {
		t.Errorf("answer to bad options: %d bytes %q", len(got), got[:8])
	}

	if n := s.Counters.Aborted.Load(); n != 1 {
		t.Errorf("Aborted = %d, want 1", n)
	}
	if _, _, got = ask(t, addr, "\x00\x02f\x00octet\x00"); got[1] != 5 || !strings.Contains(string(got), "write") {
		t.Errorf("write request: %q", got)
	}
}

// FuzzPacket sends what the fuzzer makes and then sees that the server still answers.
func FuzzPacket(f *testing.F) {
	for _, p := range []string{"", "\x00", "\x00\x01", "\x00\x01\x00\x00", "\x00\x01f", "\x00\x01f\x00octet",
		"\x00\x02f\x00octet\x00", "\x00\x03\x00\x01x",
		"\x00\x04\x00\x01", "\x00\x05\x00\x08", "\x00\x06a\x00", "\xff\xff\xff\xff",
		"\x00\x01f\x00octet\x00blksize\x00" + strings.Repeat("9", 480),
		"\x00\x01\x00\x00tsize\x00" + strings.Repeat("1", 506), "\x00\x01f\x00netascii\x00tsize\x00-1\x00"} {
		f.Add([]byte(p))
	}
	addr := start(f, &Server{Files: files{"f": content(100)}, MaxTransfers: 64})
	from, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { from.Close() })
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 2000 {
			return
		}
		if _, err := from.WriteToUDP(b, addr); err != nil {
			t.Fatal(err)
		}
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.WriteToUDP([]byte("\x00\x01f\x00octet\x00"), addr); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		buf := make([]byte, 600)
		n, srv, err := c.ReadFromUDP(buf)
		if err != nil || n != 104 {
			t.Fatalf("after %q: %d bytes, %v", b, n, err)
		}
		c.WriteToUDP([]byte("\x00\x04\x00\x01"), srv)
	})
}
