package layoutfile

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"griddle/appliance/layout"
)

const volumes = `version: 1
disks:
  - id: a
    match: {transport: nvme}
    partitions:
      - {id: esp, use: esp}
      - {id: pool, use: pool, size: 100G}
      - {id: home-a, use: raid, size: rest}
  - id: b
    match: {transport: sata}
    partitions:
      - {id: home-b, use: raid, size: 1T}
      - {id: pv, use: lvm, size: rest}
raid:
  - {id: home, level: 1, devices: [home-a, home-b], use: home, filesystem: xfs, label: people, mount: /home}
lvm_volgroup:
  - id: vg0
    devices: [pv]
    lvm_partitions:
      - {id: srv, size: 60%, use: data, mount: /srv}
      - {id: swap, size: rest, use: swap}
`

// TestVolumes reads each key of arrays and volume groups.
func TestVolumes(t *testing.T) {
	t.Parallel()
	d, err := Parse("f.yaml", []byte(volumes))
	if err != nil {
		t.Fatal(err)
	}
	raids := []layout.Raid{{ID: "home", Level: 1, Devices: []string{"home-a", "home-b"},
		Content: layout.Content{Use: "home", Filesystem: "xfs", Label: "people", Mount: "/home"}}}
	groups := []layout.Group{{ID: "vg0", Devices: []string{"pv"}, Volumes: []layout.Logical{
		{ID: "srv", Size: layout.Size{Percent: 60}, Content: layout.Content{Use: "data", Mount: "/srv"}},
		{ID: "swap", Size: layout.Size{Rest: true}, Content: layout.Content{Use: "swap"}}}}}
	if !reflect.DeepEqual(d.Raids, raids) || !reflect.DeepEqual(d.Groups, groups) {
		t.Errorf("Parse = %+v, %+v", d.Raids, d.Groups)
	}
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := layout.Decode(b); err != nil || !reflect.DeepEqual(again, d) {
		t.Errorf("from JSON the document is %+v, %v", again, err)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"level", "level: 1", "level: 5", "f.yaml:15:23: raid[0].level: an array with level 5 is not supported yet"},
		{"device", "[pv]", "[pw]", "f.yaml:13:23: disks[1].partitions[1].use: pv is in no lvm_volgroup"},
		{"use", "60%, use: data", "60%, use: bios", `f.yaml:20:35: lvm_volgroup[0].lvm_partitions[0].use: "bios" is ` +
			`not`},
		{"key", "level:", "levl:", `f.yaml:15:5: raid[0]: the key level is missing`},
	} {
		_, err := Parse("f.yaml", []byte(strings.Replace(volumes, c.old, c.new, 1)))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: the error is\n%v\nwant\n%s", c.name, err, c.want)
		}
	}
}
