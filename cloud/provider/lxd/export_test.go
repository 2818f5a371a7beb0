package lxd

import "griddle/cloud/provider"

// NameOf is the name at LXD of a stack's resource.
func NameOf(kind provider.Kind, stack, name string) string {
	if kind == provider.KindNetwork {
		return bridge(stack, name)
	}
	return joined(stack, name)
}
