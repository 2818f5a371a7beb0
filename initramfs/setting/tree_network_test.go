package setting

import (
	"os"
	"testing"

	"griddle/initramfs/setting/treetest"
)

// onCards is what two cards have in the end, whatever configures them.
const onCards = `udev names a card lan0
udev names a card lan1
inet 192.0.2.5/24
inet 192.0.2.6/24
inet6 2001:db8::5/64
mtu 1400
default via 192.0.2.1 dev lan0
10.0.0.0/8 via 192.0.2.2 dev lan0 metric 50
default via fe80::1 dev lan0
lan1 is up
`

// fromServer is what they have from a server of DHCP; the second one asks only for IPv6.
const fromServer = `udev names a card lan0
udev names a card lan1
lan0 inet 10.9.0
lan0 inet6 fd00:
lan1 inet6 fd01:
`

// network has a program configure cards, and read what there is for a bond and a VLAN, which not every kernel has.
func network(t *testing.T, tr treetest.Tree, program string) {
	t.Helper()
	unit := map[string]string{"networkd": "systemd-networkd.service", "ifupdown": "networking.service",
		"NetworkManager": "NetworkManager.service"}[program]
	if out, err := tr.Run(t.Context(), "sh", "-c", `for u in NetworkManager.service networking.service; do
		[ ! -e /usr/lib/systemd/system/$u ] || systemctl -q disable $u; done; systemctl -q enable `+unit); err != nil {
		t.Fatal(err, out)
	}
	script, err := os.ReadFile("testdata/trees/network.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ settings, verb, want string }{
		{"cards", "cards", onCards},
		{"dhcp", "dhcp", fromServer},
		{"network", "read", "bond0\nlan0.7\n"},
	} {
		apply(t, tr, step.settings)
		if got, err := tr.Script(t.Context(), string(script), step.verb, program); err != nil || got != step.want {
			t.Errorf("%s has of the settings %s\n%s\nwant\n%s\n%v", program, step.settings, got, step.want, err)
		}
	}
}
