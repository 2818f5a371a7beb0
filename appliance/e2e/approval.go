package e2e

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
)

// Set gives a machine the settings in a file.
func (s *Site) Set(ctx context.Context, m *Machine, file string) error {
	_, err := s.machine(ctx, "set", m.MAC, "--file", file)
	return err
}

// Approve waits until the screen of a machine shows a code, and approves the machine with it, as an operator
// does who sees it.
func (s *Site) Approve(ctx context.Context, m *Machine) error {
	screen, err := m.console.WaitScreen(ctx, codeLine)
	if err != nil {
		return err
	}
	_, err = s.machine(ctx, "approve", m.MAC, regexp.MustCompile(codeLine).FindStringSubmatch(screen)[1])
	return err
}

// codeLine is the line of the screen with the code of a boot.
const codeLine = `(?m)^ Code +([0-9A-Z]{4}-[0-9A-Z]{4})$`

// CA is the certificate that machines trust the server by, as PEM.
func (s *Site) CA() ([]byte, error) { return os.ReadFile(filepath.Join(s.state(), "ca.pem")) }

// Audit compares an installed machine with its settings, logged in with a key. The error says that they differ.
func (s *Site) Audit(ctx context.Context, m *Machine, k Key) (string, error) {
	return s.machine(ctx, "audit", m.MAC, "--identity", k.File, "--to", "1024")
}
