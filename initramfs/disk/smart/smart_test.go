package smart

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"unsafe"
)

// nvme is a health log of a disk at 38 °C after 9000 hours, with some bytes changed.
func nvme(change map[int]byte) []byte {
	b := make([]byte, logSize)
	binary.LittleEndian.PutUint16(b[1:], 273+38)
	b[3], b[4], b[5] = 100, 10, 3
	binary.LittleEndian.PutUint64(b[128:], 9000)
	for at, v := range change {
		b[at] = v
	}
	return b
}

func TestFromNVMe(t *testing.T) {
	well := Health{State: OK, Hours: 9000, Celsius: 38, Used: 3}
	with := func(state, reason string, used int) Health {
		h := well
		h.State, h.Reason, h.Used = state, reason, used
		return h
	}
	for name, c := range map[string]struct {
		log  []byte
		want Health
	}{
		"well":       {nvme(nil), well},
		"worn":       {nvme(map[int]byte{5: 104}), with(OK, "104 % of the writes that it is made for are used", 104)},
		"hot":        {nvme(map[int]byte{0: 2}), with(OK, "it is too hot or too cold: 38 °C", 3)},
		"errors":     {nvme(map[int]byte{160: 7}), with(OK, "7 errors of its media", 3)},
		"few spares": {nvme(map[int]byte{0: 1, 3: 4}), with(Failing, "4 % of its spare blocks are left", 3)},
		"read-only": {nvme(map[int]byte{0: 8 | 4}),
			with(Failing, "it is unreliable after errors of its media, it is read-only", 3)},
		"bits of the future": {nvme(map[int]byte{0: 0xc0}), well},
		"zeros":              {make([]byte, logSize), Health{State: OK}},
		"short":              {make([]byte, 100), Health{State: Unknown, Reason: "its health log has 100 bytes"}},
	} {
		if got := FromNVMe(c.log); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// attribute is one entry of SMART data.
type attribute struct {
	id, flags, value byte
	raw              uint32
}

func sector(put func(b []byte)) []byte {
	b := make([]byte, 512)
	b[0] = 16 // revision
	put(b)
	for _, c := range b[:511] {
		b[511] -= c
	}
	return b
}

func data(list ...attribute) []byte {
	return sector(func(b []byte) {
		for i, a := range list {
			e := b[2+12*i:]
			e[0], e[1], e[3], e[4] = a.id, a.flags, a.value, a.value
			binary.LittleEndian.PutUint32(e[5:], a.raw)
			e[9] = 0x55 // a maker's own
		}
	})
}

func limits(list map[byte]byte) []byte {
	return sector(func(b []byte) {
		at := 2
		for id, limit := range list {
			b[at], b[at+1] = id, limit
			at += 12
		}
	})
}

func TestFromATA(t *testing.T) {
	usual := []attribute{{5, 0x33, 100, 0}, {9, 0x32, 99, 12345}, {194, 0x22, 64, 0x00330024}, {197, 0x12, 100, 0}}
	well := Health{State: OK, Hours: 12345, Celsius: 36}
	floor := limits(map[byte]byte{5: 10, 9: 0, 194: 70})
	changed := func(i int, a attribute) []byte {
		list := append([]attribute(nil), usual...)
		list[i] = a
		return data(list...)
	}
	broken := data(usual...)
	broken[100]++
	for name, c := range map[string]struct {
		data, limits []byte
		status       Status
		want         Health
	}{
		"well":                             {data(usual...), floor, WellStatus, well},
		"an old value below its threshold": {changed(2, attribute{194, 0x22, 60, 36}), floor, WellStatus, well},
		"replaced": {changed(0, attribute{5, 0x33, 98, 12}), floor, WellStatus,
			Health{OK, "it replaced 12 bad sectors", 12345, 36, 0, 12}},
		"unreadable": {changed(3, attribute{197, 0x12, 100, 8}), floor, WellStatus,
			Health{OK, "8 sectors cannot be read", 12345, 36, 0, 0}},
		"failing by its value": {changed(0, attribute{5, 0x33, 10, 4000}), floor, NoStatus,
			Health{Failing, "SMART attribute 5 is 10, not above its threshold of 10, it replaced 4000 bad sectors",
				12345, 36, 0, 4000}},
		"failing by its status": {data(usual...), nil, FailsStatus,
			Health{Failing, "one of its SMART thresholds is exceeded", 12345, 36, 0, 0}},
		"failing, without data": {nil, nil, FailsStatus,
			Health{State: Failing, Reason: "one of its SMART thresholds is exceeded"}},
		"bad checksum": {broken, floor, WellStatus, unknown("its SMART data cannot be read")},
		"zeros": {make([]byte, 512), make([]byte, 512), NoStatus,
			unknown("its SMART data cannot be read")},
		"broken thresholds":  {changed(0, attribute{5, 0x33, 1, 0}), broken, WellStatus, well},
		"data of other size": {make([]byte, 511), nil, NoStatus, unknown("its SMART data cannot be read")},
	} {
		if got := FromATA(c.data, c.limits, c.status); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// TestAskOfNoDisk: what is no disk answers nothing, and other buses are not asked.
func TestAskOfNoDisk(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	for bus, want := range map[string]Health{"nvme": unknown("it did not give its health log"),
		"sata": unknown("it did not give its SMART data"), "usb": {}, "virtio": {}, "scsi": {}, "": {}} {
		if got := Ask(file, bus); got != want {
			t.Errorf("Ask of a file on %q = %+v, want %+v", bus, got, want)
		}
	}
	if got := Ask(file+"x", "nvme"); got.State != Unknown {
		t.Errorf("Ask of nothing = %+v", got)
	}
	if n := unsafe.Sizeof(nvmeCommand{}); n != 72 {
		t.Errorf("struct nvme_passthru_cmd has %d bytes, want 72", n)
	}
}

func FuzzHealth(f *testing.F) {
	f.Add(nvme(nil), limits(nil), 0)
	f.Add(data(attribute{5, 1, 1, 9}), limits(map[byte]byte{5: 10}), 2)
	f.Fuzz(func(t *testing.T, a, b []byte, status int) {
		for _, h := range []Health{FromNVMe(a), FromATA(a, b, Status(status))} {
			if h.State != OK && h.State != Failing && h.State != Unknown || h.State != OK && h.Reason == "" ||
				len(h.Reason) > 4096 || h.Hours < 0 || h.Celsius < 0 {
				t.Errorf("%+v", h)
			}
		}
	})
}
