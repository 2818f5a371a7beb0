package tftp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// fetch is a client as a ROM has it: it asks again when nothing comes, and gives up at an error packet.
func fetch(addr *net.UDPAddr, name string) ([]byte, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var got []byte
	packet, to := []byte("\x00\x01"+name+"\x00octet\x00blksize\x001468\x00tsize\x000\x00"), addr
	buf := make([]byte, 2048)
	for next, tries := uint16(1), 0; tries < 60; {
		if _, err := c.WriteToUDP(packet, to); err != nil {
			return nil, err
		}
		c.SetReadDeadline(time.Now().Add(time.Second))
		n, from, err := c.ReadFromUDP(buf)
		if err != nil {
			tries++
			continue
		}
		switch {
		case buf[1] == opError:
			return nil, fmt.Errorf("PXE-E23: %q", buf[4:n])
		case buf[1] == opOAck:
			to, packet = from, []byte{0, opAck, 0, 0}
		case buf[1] == opData && binary.BigEndian.Uint16(buf[2:]) == next:
			got = append(got, buf[4:n]...)
			packet = []byte{0, opAck, byte(next >> 8), byte(next)}
			next++
			if n < 4+1468 {
				_, err := c.WriteToUDP(packet, to)
				return got, err
			}
		}
		tries = 0
	}
	return nil, errors.New("no answer")
}

// A thousand machines behind one address boot at the same moment, after as many abandoned requests as there are places:
// each gets its file, and none an error.
func TestThousandAtOnce(t *testing.T) {
	want := content(74_000)
	complete := make(chan string, 1000)
	addr := start(t,
		&Server{Files: files{"undionly.kpxe": want}, Observe: func(_ net.IP, name string) { complete <- name }})
	abandon(t, addr, 300)
	var all sync.WaitGroup
	failed := make(chan error, 1000)
	for range 1000 {
		all.Go(func() {
			if got, err := fetch(addr, "undionly.kpxe"); err != nil || !bytes.Equal(got, want) {
				failed <- fmt.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	all.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	for range 1000 {
		select {
		case <-complete:
		case <-time.After(time.Minute):
			t.Fatalf("%d transfers were not seen to end", 1000-len(complete))
		}
	}
}

// abandon asks n times and never answers.
func abandon(t testing.TB, addr *net.UDPAddr, n int) {
	t.Helper()
	for range n {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := c.WriteToUDP([]byte("\x00\x01undionly.kpxe\x00octet\x00"), addr); err != nil {
			t.Fatal(err)
		}
	}
}

// Every place is held by requests whose client never answers: those that come get theirs at once.
func TestAbandonedMakeRoom(t *testing.T) {
	want := content(74_000)
	s := &Server{Files: files{"undionly.kpxe": want}, MaxTransfers: 8}
	addr := start(t, s)
	abandon(t, addr, 50)
	for range 20 {
		if got, err := fetch(addr, "undionly.kpxe"); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
	if n := s.Counters.Refused.Load(); n < 42 {
		t.Errorf("Refused = %d, want 42 or more", n)
	}
}

// Every place is held by a client that answers, and its address has no more than others: a request is dropped without a
// word, and counted once.
func TestFull(t *testing.T) {
	s := &Server{Files: files{"f": content(3000)}, MaxTransfers: 1}
	addr := start(t, s)
	c, from, _ := ask(t, addr, "\x00\x01f\x00octet\x00")
	if _, err := c.WriteToUDP([]byte("\x00\x04\x00\x01"), from); err != nil {
		t.Fatal(err)
	}
	for buf := make([]byte, 600); buf[3] != 2; { // the acknowledgement was taken
		if _, _, err := c.ReadFromUDP(buf); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		other, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { other.Close() })
		if _, err := other.WriteToUDP([]byte("\x00\x01f\x00octet\x00"), addr); err != nil {
			t.Fatal(err)
		}
	}
	// An answer on the same socket, in order, says that both requests before it were looked at.
	if _, _, got := ask(t, addr, "\x00\x02f\x00octet\x00"); got[1] != opError {
		t.Fatalf("a write request is answered by %q", got)
	}
	if n := s.Counters.Refused.Load(); n != 2 {
		t.Errorf("%d requests are counted as refused, want 2", n)
	}
}

// A request that is repeated, since the answer was lost or slow, gets no second transfer.
func TestRepeatedRequest(t *testing.T) {
	addr := start(t, &Server{Files: files{"f": content(3000)}})
	c, from, _ := ask(t, addr, "\x00\x01f\x00octet\x00")
	for range 3 {
		if _, err := c.WriteToUDP([]byte("\x00\x01f\x00octet\x00"), addr); err != nil {
			t.Fatal(err)
		}
	}
	// All that comes now is of the first one's port, also what it sends again.
	buf := make([]byte, 600)
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, again, err := c.ReadFromUDP(buf); err != nil || again.Port != from.Port {
		t.Errorf("the next packet is from %v (%v), want %v", again, err, from)
	}
	// The machine starts again, with the same port: it gets the file from the beginning.
	if _, err := c.WriteToUDP([]byte("\x00\x04\x00\x01"), from); err != nil {
		t.Fatal(err)
	}
	for buf[3] != 2 {
		if _, _, err := c.ReadFromUDP(buf); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.WriteToUDP([]byte("\x00\x01f\x00octet\x00"), addr); err != nil {
		t.Fatal(err)
	}
	for {
		_, again, err := c.ReadFromUDP(buf)
		if err != nil {
			t.Fatal("the machine that started again gets nothing")
		}
		if again.Port != from.Port && buf[3] == 1 {
			return
		}
	}
}

// Stock clients write names and options in their own ways.
func TestOtherClients(t *testing.T) {
	want := content(74_000)
	addr := start(t, &Server{Files: files{"undionly.kpxe": want}})
	for _, name := range []string{"undionly.kpxe", "//undionly.kpxe", "./undionly.kpxe", `\undionly.kpxe`} {
		if got, err := fetch(addr, name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	url := fmt.Sprintf("tftp://%s//undionly.kpxe", addr)
	out, err := exec.Command("curl", "-sS", "--max-time", "60", "--tftp-blksize", "1400",
		"-o", filepath.Join(t.TempDir(), "x"), "-w", "%{size_download}", url).CombinedOutput()
	if err != nil || string(out) != "74000" {
		t.Errorf("curl (make deps installs it): %v, %s", err, out)
	}
	got := filepath.Join(t.TempDir(), "y")
	out, err = exec.Command("busybox", "tftp", "-g", "-b", "1400", "-r", "undionly.kpxe", "-l", got, addr.IP.String(),
		fmt.Sprint(addr.Port)).CombinedOutput()
	if err != nil {
		t.Errorf("busybox tftp (make deps installs it): %v, %s", err, out)
	}
}
