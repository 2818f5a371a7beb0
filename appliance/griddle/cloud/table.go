package cloud

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"griddle/appliance/griddle/cli"
	"griddle/cloud"
	"griddle/cloud/provider"
)

// writeStatus writes what a stack is now, for people.
func writeStatus(e *cli.Env, w io.Writer, s *cloud.Status) error {
	var rows [][]string
	for _, v := range s.Servers {
		state := string(v.State)
		if v.Reason != "" {
			state += ": " + v.Reason
		}
		rows = append(rows, []string{v.Name, v.Role, state, v.Image, address(v.Private), address(v.Public),
			portsText(v)})
	}
	if err := e.WriteTable(w, []string{"SERVER", "ROLE", "STATE", "IMAGE", "PRIVATE", "PUBLIC", "PORTS"},
		rows); err != nil {
		return err
	}
	var disks []string
	for _, r := range s.Others {
		if r.Kind == provider.KindVolume && r.Bound == "" {
			disks = append(disks, fmt.Sprintf("%s (%d GiB)", r.Name, r.Size>>30))
		}
	}
	made := slices.ContainsFunc(s.Servers, func(v cloud.ServerStatus) bool { return v.State != cloud.NotMade })
	switch {
	case len(disks) > 0 && !made:
		fmt.Fprintf(w, "no servers; these disks are kept: %s\n`griddle cloud up` creates servers with them again, "+
			"`griddle cloud delete` deletes them\n", strings.Join(disks, ", "))
	case len(disks) > 0:
		fmt.Fprintf(w, "disks without a server: %s\n", strings.Join(disks, ", "))
	}
	if h := s.Holder; h != nil {
		fmt.Fprintf(w, "in use by %s on %s\n", h.User, h.Host)
	}
	return nil
}

// writeReach writes the addresses at which the servers of a stack can be reached.
func writeReach(e *cli.Env, w io.Writer, s *cloud.Status) error {
	var rows [][]string
	for _, v := range s.Servers {
		if v.Public.IsValid() {
			rows = append(rows, []string{v.Name, address(v.Public), portsText(v)})
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return e.WriteTable(w, []string{"SERVER", "ADDRESS", "PORTS"}, rows)
}

func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// portsText says under which numbers ports of a server are reached at its public address, such as "ssh at 20022, tcp
// 443 at 21443"; nothing where they are the server's own.
func portsText(v cloud.ServerStatus) string {
	var out []string
	if v.SSHPort != 0 {
		out = append(out, fmt.Sprintf("ssh at %d", v.SSHPort))
	}
	for _, f := range v.Forwards {
		out = append(out, fmt.Sprintf("%s %d at %d", f.Protocol, f.Port, f.Public))
	}
	return strings.Join(out, ", ")
}
