package pool

import (
	"os"
	"strings"
	"testing"

	"griddle/initramfs/mounttest"
	"griddle/initramfs/pool/pooltest"
)

// TestMain runs the tests in a mount namespace of their own, so that other tests do not keep loop devices in use. With
// switchEnv it is the program that TestSwitchIsKilled kills.
func TestMain(m *testing.M) {
	mounttest.Own()
	if os.Getenv(hereEnv) != "" {
		sayHere()
	}
	if dirs := os.Getenv(switchEnv); dirs != "" {
		top, esp, _ := strings.Cut(dirs, ":")
		switchForEver(top, esp)
	}
	os.Exit(m.Run())
}

// poolID is the UUID of the pool that installed made last.
var poolID string

var tool, loop, put = pooltest.Tool, pooltest.Loop, pooltest.Put

// installed is the pool of pooltest.
func installed(t *testing.T) (p *Pool, dev string) {
	t.Helper()
	m := pooltest.Installed(t)
	poolID = m.ID
	return &Pool{place: Place{Job: pooltest.Job}, dir: m.Top, esp: m.ESP}, m.Device
}
