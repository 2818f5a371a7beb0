package qemu

import (
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// openTap makes a tap device on a bridge, for which one must be allowed to change the network (CAP_NET_ADMIN). The
// device is there as long as somebody has the file open: it goes with QEMU, whatever ends that.
func openTap(bridge string) (*os.File, error) {
	on, err := netlink.LinkByName(bridge)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	req, err := unix.NewIfreq("griddle%d")
	if err != nil {
		f.Close()
		return nil, err
	}
	// QEMU's own flags for a tap: no header before the frames but the one of virtio.
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(int(f.Fd()), unix.TUNSETIFF, req); err != nil {
		f.Close()
		return nil, fmt.Errorf("making a tap device: %w", err)
	}
	link, err := netlink.LinkByName(req.Name())
	if err == nil {
		err = netlink.LinkSetMaster(link, on)
	}
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
