package job

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

const (
	goodKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMgER+oTq/ggOWnGoqhy6QkLlMK2+XvJBHehHinQ8WHT"
	// of another kind than its bytes say
	falseKey = "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIMgER+oTq/ggOWnGoqhy6QkLlMK2+XvJBHehHinQ8WHT"
)

func TestHomeReportBounded(t *testing.T) {
	got := HomeReport{Hostname: "a\x1b[2Jb", MachineID: "1\n2", Kernel: strings.Repeat("k", 500), Root: "@roots/a",
		HostKeys: []string{goodKey + " root@a", goodKey, falseKey, "", "ssh-ed25519", "ssh-ed25519 AAA",
			"ssh-ed25519 AAAA",
			"\x1b[2J AAAABBtbMko=", "x " + strings.Repeat("A", 8192)},
		Addresses: []string{"192.0.2.5", "::ffff:192.0.2.5", "2001:DB8::5", "fe80::1", "fe80::1%eth0", "127.0.0.1",
			"::1", "0.0.0.0", "224.0.0.1", "10.0.0.5/8", "a", ""}}.Bounded()
	want := HomeReport{Hostname: "a [2Jb", MachineID: "1 2", Kernel: strings.Repeat("k", 64), Root: "@roots/a",
		HostKeys: []string{goodKey}, Addresses: []string{"192.0.2.5", "2001:db8::5"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Bounded = %+v, want %+v", got, want)
	}
	if again := got.Bounded(); !reflect.DeepEqual(again, want) {
		t.Errorf("Bounded twice = %+v", again)
	}
}

// A report of an earlier agent has neither keys nor addresses, and gets none.
func TestHomeReportOfEarlierAgents(t *testing.T) {
	const old = `{"hostname":"h","machineId":"1","kernel":"6.1","root":"@roots/a"}`
	var r HomeReport
	if err := json.Unmarshal([]byte(old), &r); err != nil {
		t.Fatal(err)
	}
	if b, err := json.Marshal(r.Bounded()); err != nil || string(b) != old {
		t.Errorf("it became %s, %v", b, err)
	}
}

func FuzzHomeReport(f *testing.F) {
	f.Add(goodKey, "192.0.2.5")
	f.Fuzz(func(t *testing.T, key, address string) {
		r := HomeReport{HostKeys: []string{key}, Addresses: []string{address}}.Bounded()
		for _, s := range append(r.HostKeys, r.Addresses...) {
			if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) || len(s) > maxHostKey {
				t.Errorf("Bounded keeps %q", s)
			}
		}
	})
}
