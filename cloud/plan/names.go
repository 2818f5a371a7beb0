package plan

import (
	"maps"
	"slices"

	"griddle/cloud/stack"
)

// Names of the key and the network of a stack.
const (
	KeyName     = "admin"
	NetworkName = "net"
)

// VolumeName names a server's volume within the stack. Servers' names have no dots, so two servers cannot have
// a volume of one name.
func VolumeName(server, volume string) string { return server + "." + volume }

// ImageKey is the key of a server's image in Plan.Versions and state.State.Images: the reference and the architecture.
func ImageKey(s stack.Server) string { return s.Image + "@" + s.Arch }

// asWritten is a Lookup that leaves references as they are.
func asWritten(r stack.Reference) (string, error) { return r.String(), nil }

// Scaled returns s with the counts that were chosen later for its roles. Counts of other roles are ignored.
func Scaled(s *stack.Stack, counts map[string]int) (*stack.Stack, error) {
	counts = maps.Clone(counts)
	maps.DeleteFunc(counts, func(name string, _ int) bool {
		return !slices.ContainsFunc(s.Roles, func(r stack.Role) bool { return r.Name == name })
	})
	return s.Scaled(counts)
}
