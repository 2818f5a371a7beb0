package qemu

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/cloud/provider"
	"griddle/cloud/userdata/seed"
)

func update() bool { return flag.Lookup("update").Value.String() == "true" }

// TestMain has the flag -update, and is the programs that TestKilled and TestBridge run.
func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the goldens of testdata anew")
	if dir := os.Getenv("QEMU_TEST_UP"); dir != "" {
		os.Exit(upAndDown(dir))
	}
	if dir := os.Getenv("QEMU_TEST_BRIDGE"); dir != "" {
		os.Exit(bridged(dir))
	}
	os.Exit(m.Run())
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if update() {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
	}
}

func labels(kind provider.Kind, name string) map[string]string {
	return map[string]string{provider.LabelStack: "demo", provider.LabelKind: string(kind), provider.LabelName: name}
}

// example is a server with two volumes.
func example() machine {
	return machine{
		record: &record{Labels: labels(provider.KindServer, "web-1"), Serial: "0a0b0c0d", Server: &serverRecord{
			CPUs: 2, Memory: 2 << 30, SSH: 22, Private: netip.MustParseAddr("10.77.0.11"), Public: publicAddress(),
			Forwards: []provider.Forward{{Protocol: "tcp", Port: 22, Public: 20022},
				{Protocol: "udp", Port: 53, Public: 20053}},
		}},
		network: &record{Labels: labels(provider.KindNetwork, "net"), Serial: "11111111", Network: &networkRecord{
			Prefix: netip.MustParsePrefix("10.77.0.0/24"), Group: "239.193.2.3:16400"}},
		volumes: []*record{
			{Labels: labels(provider.KindVolume, "web-1.data"), Serial: "22222222", Size: 1 << 30},
			{Labels: labels(provider.KindVolume, "web-1."+strings.Repeat("long", 12)),
				Serial: "33333333", Size: 1 << 30},
		},
		accel: "tcg", firmware: "/usr/share/OVMF,x",
	}
}

func TestArguments(t *testing.T) {
	var b bytes.Buffer
	show := func(what string, m machine) {
		fmt.Fprintf(&b, "== %s\n%s\n", what, strings.Join(m.arguments(), "\n"))
	}
	m := example()
	show("user network, BIOS", m)
	m.record.Server.UEFI, m.accel = true, "kvm"
	m.network.Network.Bridge, m.network.Network.Group = "br0", ""
	m.volumes = nil
	show("bridge, UEFI, KVM", m)
	golden(t, "arguments.txt", b.Bytes())
}

func TestSeed(t *testing.T) {
	var b bytes.Buffer
	m := example()
	key := &record{Key: "ssh-ed25519 AAAA test"}
	for _, bridge := range []string{"", "br0"} {
		m.network.Network.Bridge = bridge
		s, err := newSeed(m.record, m.network, key, []byte("#cloud-config\n{}\n"))
		if err != nil {
			t.Fatal(err)
		}
		files, err := seed.NoCloud(s)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "== bridge %q, meta-data\n%s\n== network-config\n%s\n", bridge,
			files[0].Content, files[1].Content)
		m.network.Network.DNS = []netip.Addr{netip.MustParseAddr("192.0.2.53")}
		key = nil
	}
	golden(t, "seed.txt", b.Bytes())
}

func TestUserNetwork(t *testing.T) {
	for stack, want := range map[string]string{
		"10.77.0.0/24": "10.0.2.0/24", "10.0.0.0/16": "192.168.127.0/24", "10.0.2.16/28": "192.168.127.0/24",
	} {
		if got := userNetwork(netip.MustParsePrefix(stack)); got.String() != want {
			t.Errorf("userNetwork(%s) = %v, want %s", stack, got, want)
		}
	}
}

func TestNext(t *testing.T) {
	now := time.Unix(1000, 0)
	past, future := now.Add(-time.Second), now.Add(time.Second)
	for _, c := range []struct {
		name string
		s    serverRecord
		runs bool
		want deed
	}{
		{"runs", serverRecord{Power: powerOn, Started: true}, true, nothing},
		{"shut itself down", serverRecord{Power: powerOn, Started: true}, false, nothing},
		{"interrupted before the start", serverRecord{Power: powerOn}, false, begin},
		{"interrupted after the start", serverRecord{Power: powerOn}, true, noted},
		{"could not be started", serverRecord{Power: powerOn, Failed: "x"}, false, nothing},
		{"shuts down", serverRecord{Power: powerOff, Deadline: future}, true, nothing},
		{"does not shut down", serverRecord{Power: powerOff, Deadline: past}, true, cut},
		{"did shut down", serverRecord{Power: powerOff, Deadline: future}, false, nothing},
		{"reboots", serverRecord{Power: powerReboot, Deadline: future}, true, nothing},
		{"does not reboot", serverRecord{Power: powerReboot, Deadline: past}, true, cut},
		{"did shut down to reboot", serverRecord{Power: powerReboot, Deadline: future}, false, begin},
		{"shuts down to go", serverRecord{Power: powerGone, Deadline: future}, true, nothing},
		{"does not go", serverRecord{Power: powerGone, Deadline: now}, true, cut},
		{"goes", serverRecord{Power: powerGone, Deadline: future}, false, settled},
	} {
		if got := next(&c.s, c.runs, now); got != c.want {
			t.Errorf("%s: next = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestAdmitted(t *testing.T) {
	all := netip.MustParsePrefix("0.0.0.0/0")
	wall := &record{Rules: []provider.Rule{{Protocol: "tcp", From: 80, To: 81, Source: all},
		{Protocol: "tcp", From: 81, To: 81, Source: all}, {Protocol: "icmp", Source: all}}}
	got, err := admitted(wall, 22)
	if err != nil || fmt.Sprint(got) != "[{tcp 80 0} {tcp 81 0}]" {
		t.Errorf("admitted = %v, %v, want ports 80 and 81", got, err)
	}
	if got, err := admitted(nil, 2222); err != nil || fmt.Sprint(got) != "[{tcp 2222 0}]" {
		t.Errorf("without a firewall: %v, %v, want port 2222", got, err)
	}
	wall.Rules = []provider.Rule{{Protocol: "udp", From: 1, To: 65535, Source: all}}
	if _, err := admitted(wall, 22); !errors.Is(err, provider.ErrInvalid) {
		t.Errorf("all ports = %v, want ErrInvalid", err)
	}
}

func TestAssign(t *testing.T) {
	wanted := []provider.Forward{{Protocol: "tcp", Port: 22}, {Protocol: "tcp", Port: 80}}
	free := func(taken ...uint16) func(string, uint16) uint16 {
		return func(_ string, port uint16) uint16 {
			if slices.Contains(taken, port) {
				return 0
			}
			if port == 0 {
				return 45678
			}
			return port
		}
	}
	ports := func(all []provider.Forward) (p []uint16) {
		for _, f := range all {
			p = append(p, f.Public)
		}
		return p
	}
	first, err := assign(wanted, nil, "demo/web-1", false, free())
	if err != nil || first[0].Public < 20000 || first[0].Public >= 32000 {
		t.Errorf("assign = %v, %v, want ports below the ephemeral ones", first, err)
	}
	again, _ := assign(wanted, nil, "demo/web-1", false, free())
	if !slices.Equal(again, first) {
		t.Errorf("a server built anew has %v, and had %v", again, first)
	}
	kept, _ := assign(wanted, []provider.Forward{{Protocol: "tcp", Port: 80, Public: 33333}}, "x", true, free())
	if !slices.Equal(ports(kept), []uint16{22, 33333}) {
		t.Errorf("with an own address and an old port: %v, want 22 and 33333", kept)
	}
	other, _ := assign(wanted, nil, "x", true, free(22))
	if !slices.Equal(ports(other), []uint16{45678, 80}) {
		t.Errorf("with port 22 taken: %v, want 45678 and 80", other)
	}
	if _, err := assign(wanted, nil, "x", true, free(22, 80)); !errors.Is(err, provider.ErrTemporary) {
		t.Errorf("with one free port for two: %v, want ErrTemporary", err)
	}
}

const usernet = "Hub -1 (out):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n" +
	"  TCP[HOST_FORWARD]  16       127.0.0.1 40080       10.0.2.15    80     0     0\r\n" +
	"  TCP[ESTABLISHED]   17       10.0.2.15 40080       192.0.2.1    80     0     0\r\n" +
	"  UDP[HOST_FORWARD]  10       127.88.0.1    53       10.0.2.15    53     0     0\r\n"

func TestParseUsernet(t *testing.T) {
	got := parseUsernet(usernet)
	want := []forwarded{
		{netip.MustParseAddr("127.0.0.1"), provider.Forward{Protocol: "tcp", Port: 80, Public: 40080}},
		{netip.MustParseAddr("127.88.0.1"), provider.Forward{Protocol: "udp", Port: 53, Public: 53}},
	}
	if !slices.Equal(got, want) {
		t.Errorf("parseUsernet = %v, want %v", got, want)
	}
}

func FuzzParseUsernet(f *testing.F) {
	f.Add(usernet)
	f.Fuzz(func(t *testing.T, s string) {
		for _, got := range parseUsernet(s) {
			if !got.public.IsValid() || got.Protocol != "tcp" && got.Protocol != "udp" {
				t.Errorf("parseUsernet(%q) has %v", s, got)
			}
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	m := example()
	for _, r := range append(m.volumes, m.record, m.network) {
		f.Add(r.bytes())
	}
	f.Add([]byte(`{"labels":{"griddle-kind":"server"},"server":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			return
		}
		if r.kind() == provider.KindServer && r.Server == nil || r.kind() == "" {
			t.Errorf("parseRecord(%q) took half a record", b)
		}
		again, err := parseRecord(r.bytes())
		if err != nil || !bytes.Equal(again.bytes(), r.bytes()) {
			t.Errorf("written and read again %q is %v, %v", b, again, err)
		}
	})
}
