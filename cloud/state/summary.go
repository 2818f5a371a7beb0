package state

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"griddle/cloud/provider"
	"griddle/cloud/stack"
)

// Made counts the servers that were made.
func (s *State) CountServers() (n int) {
	for _, v := range s.Servers {
		if v.Phase != Reserved {
			n++
		}
	}
	return n
}

// Volumes names the volumes that were made and are not known to be gone, in order, such as head-1.data.
func (s *State) Volumes() []string {
	var out []string
	for _, k := range s.Kept {
		if name, ok := strings.CutPrefix(k, string(provider.KindVolume)+" "); ok {
			out = append(out, name)
		}
	}
	return out
}

// Summary says what a stack is, as far as its state tells: empty for one with servers.
func (s *State) Summary() string {
	disks := len(s.Volumes())
	switch {
	case s.CountServers() > 0:
		return ""
	case disks == 0:
		return "no server was made"
	case disks == 1:
		return "no servers, 1 disk is kept"
	}
	return fmt.Sprintf("no servers, %d disks are kept", disks)
}

// Settings returns the settings that the stack file had last, for operations that need no stack file.
func (s *State) Settings() stack.Settings {
	return stack.Settings{Parallel: s.Parallel, Server: time.Duration(s.Server) * time.Second,
		Call: time.Duration(s.Call) * time.Second}
}

// Clone returns a copy that can be changed.
func (s *State) Clone() *State {
	c := *s
	c.Options, c.Scale, c.Images, c.Firewalls = maps.Clone(s.Options), maps.Clone(s.Scale), maps.Clone(s.Images),
		maps.Clone(s.Firewalls)
	c.Servers, c.Outputs = make(map[string]*Server, len(s.Servers)), make(map[string]map[string]string, len(s.Outputs))
	for name, v := range s.Servers {
		w := *v
		c.Servers[name] = &w
	}
	for name, v := range s.Outputs {
		c.Outputs[name] = maps.Clone(v)
	}
	return &c
}
