package hotplug

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestModaliases(t *testing.T) {
	const net, disk = "pci:v00008086d000010D3sv*bc02sc00i00", "pci:v00008086d00002922svbc01sc06i01"
	sys := fstest.MapFS{
		"devices/pci0000:00/0000:00:1f.2/modalias": {Data: []byte(disk + "\n")},
		"devices/pci0000:00/0000:00:02.0/modalias": {Data: []byte(net + "\n")},
		"devices/pci0000:00/0000:00:03.0/modalias": {Data: []byte(net + "\n")},
		"devices/system/cpu/modalias": {Data: []byte(
			"cpu:type:x86,ven0000fam0006mod0000:feature:,0000\n")},
		"devices/platform/empty/modalias": {Data: []byte("\n")},
		"devices/platform/empty/uevent":   {Data: []byte("MODALIAS=platform:no\n")},
	}
	got := networkFirst(modaliases(sys))
	want := []string{net, disk, "cpu:type:x86,ven0000fam0006mod0000:feature:,0000"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("aliases (-want +got):\n%s", diff)
	}
}

func TestParseUevent(t *testing.T) {
	for _, c := range []struct{ in, action, alias string }{
		{"add@/devices/x\x00ACTION=add\x00DEVPATH=/devices/x\x00MODALIAS=usb:v0B95p7720\x00SEQNUM=7\x00",
			"add", "usb:v0B95p7720"},
		{"remove@/devices/x\x00ACTION=remove\x00", "remove", ""},
		{"libudev\x00\xfe\xed", "", ""},
		{"", "", ""},
	} {
		if action, alias := parseUevent([]byte(c.in)); action != c.action || alias != c.alias {
			t.Errorf("parseUevent(%q) = %q, %q, want %q, %q", c.in, action, alias, c.action, c.alias)
		}
	}
}
