package firstboot

import (
	"griddle/cloud/stack"
	"griddle/cloud/userdata/secure"
)

// Needs says what the image of a server must hold so that its first boot can end well. With tree it is a container's.
func Needs(s *stack.Stack, x stack.Server, tree bool) []secure.Need {
	srv := secure.Server{NTP: s.Settings.NTP, CA: s.Settings.CA}
	for _, v := range x.Volumes {
		srv.Volumes = append(srv.Volumes, secure.Volume{Name: v.Name})
	}
	return srv.Needs(tree)
}
