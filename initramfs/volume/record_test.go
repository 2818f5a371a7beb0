package volume

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const arrayID = "0a1b2c3d-0000-4000-8000-0123456789ab"

func some() Record {
	return Record{Version: 1, Arrays: []RecordedArray{{"home", arrayID, 2}},
		Groups: []RecordedGroup{{"vg0", []string{Group{ID: arrayID}.DeviceID(0)}}}}
}

// TestRecord writes and reads a record. A volume of the same name takes the place of an older one.
func TestRecord(t *testing.T) {
	t.Parallel()
	b, err := some().Bytes()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseRecord(b)
	if err != nil || !reflect.DeepEqual(got, some()) || !slices.Equal(got.Programs(), []string{"mdadm", "lvm"}) {
		t.Errorf("ParseRecord = %+v, %v, with %q", got, err, got.Programs())
	}
	other := strings.Replace(arrayID, "0", "f", 1)
	more := got.With(Record{Arrays: []RecordedArray{{"home", other, 2}, {"srv", arrayID, 3}}})
	if len(more.Arrays) != 2 || more.Arrays[0].ID != other || !reflect.DeepEqual(more.Groups, got.Groups) {
		t.Errorf("With = %+v", more)
	}
	bad := some()
	bad.Arrays[0].Name = "../x"
	if _, err := bad.Bytes(); err == nil || !strings.Contains(err.Error(), `"../x" with ID`) {
		t.Errorf("Bytes with a name that is a path = %v", err)
	}
}

// FuzzRecord has any bytes be a record: what is read can be written, and is the same then.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"version": 1, "arrays": [{"name": "home", "id": "` + arrayID + `", "devices": 2}]}`))
	f.Add([]byte(`{"version": 1, "groups": [{"name": "vg0", "devices": ["0a1b2c-3d00-0040-0080-0001-2345-678900"]}]}`))
	f.Add([]byte(`{"version": 2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecord(b)
		if err != nil {
			return
		}
		if err := r.check(); err != nil {
			t.Fatalf("ParseRecord(%q) is not valid: %v", b, err)
		}
		if m := (Record{}).With(r); len(m.Arrays) != len(r.Arrays) || len(m.Groups) != len(r.Groups) {
			t.Fatalf("With(%+v) = %+v", r, m)
		}
	})
}

// FuzzIDOf reads any bytes as a device.
func FuzzIDOf(f *testing.F) {
	array := make([]byte, 8192)
	binary.LittleEndian.PutUint32(array[4096:], 0xa92b4efc)
	binary.LittleEndian.PutUint32(array[4100:], 1)
	copy(array[4112:], "\x0a\x1b\x2c\x3d\x00\x00\x40\x00\x80\x00\x01\x23\x45\x67\x89\xab")
	lvm := make([]byte, 1024)
	copy(lvm[512:], "LABELONE")
	lvm[512+20] = 32
	copy(lvm[512+24:], "LVM2 001"+strings.ReplaceAll(Group{ID: arrayID}.DeviceID(7), "-", ""))
	for want, b := range map[string][]byte{arrayID: array, "0a1b2c-3d00-0040-0080-0001-2345-678907": lvm} {
		if got := IDOf(bytes.NewReader(b)); got != want {
			f.Errorf("IDOf = %q, want %q", got, want)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if id := IDOf(bytes.NewReader(b)); id != "" && len(id) != 36 && !deviceIDs.MatchString(id) {
			t.Fatalf("IDOf(%q) = %q", b, id)
		}
	})
}
