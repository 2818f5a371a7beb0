package netboot

import (
	"fmt"
	"io/fs"
	"net"
	"path"
	"strings"
)

// linkTrouble says why nothing that is sent on an interface would reach the network now, "" if it would. sys is sysfs;
// where it shows other interfaces, as in a network namespace that has no mount of its own, spanning trees are not seen.
// Nor is what a switch at the other end of the cable does with its port.
//
// Sources: netdevice(7) (IFF_RUNNING), net/bridge/br_sysfs_if.c (state) and the values of BR_STATE_ in
// include/uapi/linux/if_bridge.h. A bridge runs while one of its ports forwards (br_port_state_selection in
// net/bridge/br_stp.c).
func linkTrouble(ifi *net.Interface, sys fs.FS) string {
	switch why := spanningTree(sys, ifi.Name, 4); {
	case why != "":
		return why
	case ifi.Flags&net.FlagUp == 0:
		return ifi.Name + " is down"
	case ifi.Flags&net.FlagRunning == 0:
		return ifi.Name + " has no carrier: the cable is missing, or the other end is switched off"
	}
	return ""
}

// spanningTree finds a bridge port on the way out of iface that does not forward yet: one of iface's, where it is a
// bridge; iface itself, where it is a port; or the same of the interfaces below it (VLAN, bond).
func spanningTree(sys fs.FS, iface string, depth int) string {
	dir := path.Join("class/net", iface)
	states, err := fs.Glob(sys, path.Join(dir, "brif/*/state"))
	bridge := err == nil && len(states) > 0
	for _, s := range append(states, path.Join(dir, "brport/state")) {
		b, err := fs.ReadFile(sys, s)
		if err != nil {
			continue
		}
		port := iface
		if bridge && !strings.HasSuffix(s, "brport/state") {
			port = path.Base(path.Dir(s))
		}
		switch strings.TrimSpace(string(b)) {
		case "1", "2": // listening, learning; a blocked port (4) stays so, and one without carrier is disabled (0)
			return fmt.Sprintf("%s does not forward yet (spanning tree)", port)
		}
	}
	if bridge || depth == 0 {
		return ""
	}
	below, err := fs.Glob(sys, path.Join(dir, "lower_*"))
	if err != nil {
		return ""
	}
	for _, l := range below {
		if why := spanningTree(sys, strings.TrimPrefix(path.Base(l), "lower_"), depth-1); why != "" {
			return why
		}
	}
	return ""
}
