package cloud

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/griddle/cli"
	"griddle/cloud"
	"griddle/cloud/provider"
)

var testEnv = &cli.Env{Getenv: func(string) string { return "" }}

// TestForwardedPortsAreShown has a server whose ports are reached under other numbers, as QEMU's user network has them.
func TestForwardedPortsAreShown(t *testing.T) {
	s := &cloud.Status{Servers: []cloud.ServerStatus{
		{Name: "web-1", State: provider.Ready, Public: netip.MustParseAddr("127.0.0.1"), SSHPort: 20022,
			Forwards: []provider.Forward{{Protocol: "tcp", Port: 443, Public: 21443}, {Protocol: "udp", Port: 53,
				Public: 20053}}},
		{Name: "web-2", State: provider.Ready, Private: netip.MustParseAddr("10.77.0.11")},
	}}
	const want = "ssh at 20022, tcp 443 at 21443, udp 53 at 20053"
	var status, reach strings.Builder
	if err := writeStatus(testEnv, &status, s); err != nil {
		t.Fatal(err)
	}
	if err := writeReach(testEnv, &reach, s); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(status.String(), want) || !strings.Contains(reach.String(), want) ||
		strings.Contains(reach.String(), "web-2") {
		t.Errorf("status is\n%s\nand what up says is\n%s\nwant %q in both", &status, &reach, want)
	}
}

func TestRemoteCommand(t *testing.T) {
	for in, want := range map[string][]string{
		"":              nil,
		"--":            nil,
		"uptime":        {"uptime"},
		"-- ls -l":      {"ls -l"},
		"ls -- -l":      {"ls -- -l"},
		"-- -- --":      {"-- --"},
		"-- exit 7 ; x": {"exit 7 ; x"},
	} {
		if got := remoteCommand(strings.Fields(in)); !slices.Equal(got, want) {
			t.Errorf("remoteCommand(%q) = %q, want %q", in, got, want)
		}
	}
}
