package appliance

import (
	"fmt"
	"net"
	"os"
)

// notify tells systemd, where it asks for that, how the service is: "READY=1", "STOPPING=1" (sd_notify(3)).
func notify(state string) error {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil
	}
	// A name that begins with "@" is in the abstract namespace, and package net writes it so too.
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notifying the service manager: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("notifying the service manager: %w", err)
	}
	return nil
}
