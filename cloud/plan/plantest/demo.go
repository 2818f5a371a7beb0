// Package plantest has a stack for tests of plans and of what carries them out.
package plantest

import (
	"fmt"
	"net/netip"
	"time"

	"griddle/cloud/stack"
)

// Key is a public key whose private key does not exist.
const Key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDZWs2WB8fJyFBKMs/9wxTKb0XgL1KG8PQO0aSQ7pC5M test"

// Demo returns a stack of a head, which gives a token, and two workers, which want it.
func Demo() *stack.Stack {
	s := &stack.Stack{
		Name: "demo", Provider: "memory", Admin: "ops",
		Users:   []stack.User{{Name: "ops", Sudo: true}},
		Network: stack.Network{Prefix: netip.MustParsePrefix("10.77.0.0/24")},
		Settings: stack.Settings{
			Parallel: 2, Server: 10 * time.Minute, Call: time.Minute,
		},
		Secrets: []stack.Secret{{Name: "db", Generate: 24}, {Name: "api", Env: "API_KEY"}},
		Roles: []stack.Role{
			{Name: "head", Min: 1, Max: 1, Count: 1, Outputs: []stack.Output{
				{Name: "token", File: "/etc/token", Secret: true}, {Name: "id", File: "/etc/cluster id"}}},
			{Name: "worker", After: []string{"head"}, Min: 1, Max: 5, Count: 2},
		},
	}
	server := func(role string, n int) stack.Server {
		return stack.Server{Name: fmt.Sprintf("%s-%d", role, n), Role: role, Number: n, Image: "web:stable",
			Arch: "amd64", Size: "small"}
	}
	head := server("head", 1)
	head.Public = true
	head.Ports = []stack.Port{{Protocol: "tcp", From: 443, To: 443}}
	head.Volumes = []stack.Volume{{Name: "data", Size: 2 << 30}}
	s.Servers = []stack.Server{head, server("worker", 1), server("worker", 2)}
	return s
}

// Render is a plan.Renderer that writes the references that servers of the demo have.
func Render(s stack.Server, lookup func(stack.Reference) (string, error)) ([]byte, error) {
	text := "#cloud-config\n# ${self.name} ${secret.db} ${server.head-1.address}\n"
	if s.Role == "worker" {
		text += "# ${secret.api} ${role.head.outputs.token} ${role.head.outputs.id} ${role.worker.addresses}\n"
	}
	out, err := stack.Expand(text, lookup)
	return []byte(out), err
}
