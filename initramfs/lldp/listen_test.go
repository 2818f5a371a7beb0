package lldp

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"griddle/appliance/job"
)

// TestListen listens in a network of its own, into which the other end of a cable sends frames. The cable is plugged in
// while the Listener runs.
func TestListen(t *testing.T) {
	if os.Getenv("LLDP_NETWORK") == "" {
		c := exec.CommandContext(t.Context(), "unshare", "--net", os.Args[0], "-test.run=^TestListen$", "-test.v")
		c.Env = append(os.Environ(), "LLDP_NETWORK=1")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("in a network of its own: %v\n%s", err, out)
		}
		return
	}
	var l Listener
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { l.Run(ctx, slog.New(slog.NewTextHandler(os.Stderr, nil))); close(ended) }()
	defer func() { cancel(); <-ended }()
	time.Sleep(100 * time.Millisecond)

	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "here"}, PeerName: "there"}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	ends := map[string]netlink.Link{}
	for _, name := range []string{"here", "there"} {
		link, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetUp(link)
		}
		if err != nil {
			t.Fatal(err)
		}
		ends[name] = link
	}
	here := ends["here"].Attrs().HardwareAddr.String()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	frame := mandatory("\x05Gi1/0/7") + tlv(4, "desk\x1b[2J 7") + tlv(5, "core-1") +
		tlv(7, "\x00\x04\x00\x04") + "\x00\x00"
	send := func(payload string) {
		t.Helper()
		if err := unix.Sendto(fd, []byte(payload), 0, &unix.SockaddrLinklayer{Ifindex: ends["there"].Attrs().Index,
			Protocol: networkOrder(unix.ETH_P_LLDP), Halen: 6, Addr: [8]byte{1, 0x80, 0xc2, 0, 0, 0x0e}}); err != nil {
			t.Fatal(err)
		}
	}
	want := job.Neighbour{Switch: "core-1", Port: "Gi1/0/7", Description: "desk\x1b[2J 7"}
	for begin := time.Now(); l.Neighbour(here) != want; time.Sleep(200 * time.Millisecond) {
		if time.Since(begin) > time.Minute {
			t.Fatalf("%s is connected to %+v, want %+v", here, l.Neighbour(here), want)
		}
		send("\x02\x07 not a frame")
		send(frame)
	}
}
