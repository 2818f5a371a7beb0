package hardware

import (
	"slices"
	"testing"
	"testing/fstest"
)

func TestBIOSDrives(t *testing.T) {
	drives := func(sectors ...string) fstest.MapFS {
		sys := fstest.MapFS{"firmware/acpi/x": {}}
		for i, s := range sectors {
			sys["firmware/edd/int13_dev8"+string(rune('0'+i))+"/sectors"] = &fstest.MapFile{Data: []byte(s)}
		}
		return sys
	}
	for _, c := range []struct {
		name string
		sys  fstest.MapFS
		want []int64
	}{
		{"no module", drives(), nil},
		{"two", drives("8388608\n", "131072\n"), []int64{8388608, 131072}},
		{"one without a size", drives("8388608\n", ""), nil},
		{"nonsense", drives("many\n"), nil},
		{"zero", drives("0\n"), nil},
		{"as many as are asked for", drives("1", "2", "3", "4", "5", "6"), nil},
	} {
		if got := BIOSDrives(c.sys); !slices.Equal(got, c.want) {
			t.Errorf("%s: BIOSDrives = %v, want %v", c.name, got, c.want)
		}
	}
}

func TestFirstDrive(t *testing.T) {
	const dir = "firmware/edd/int13_dev80/"
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	for _, c := range []struct {
		name string
		sys  fstest.MapFS
		want Drive
	}{
		{"no module", fstest.MapFS{}, Drive{}},
		{"both", fstest.MapFS{dir + "sectors": file("20971520\n"), dir + "mbr_signature": file("0x00a1b2c3\n")},
			Drive{20971520, "00a1b2c3"}},
		{"another drive", fstest.MapFS{"firmware/edd/int13_dev81/sectors": file("1\n")}, Drive{}},
		{"no signature", fstest.MapFS{dir + "sectors": file("1\n"), dir + "mbr_signature": file("0x00000000\n")},
			Drive{Sectors: 1}},
		{"nonsense", fstest.MapFS{dir + "sectors": file("-1\n"), dir + "mbr_signature": file("0x1ffffffff\n")},
			Drive{}},
	} {
		if got, ok := FirstDrive(c.sys); got != c.want || ok != (c.want != Drive{}) {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, ok, c.want)
		}
	}
}
