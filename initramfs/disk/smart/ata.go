package smart

import (
	"encoding/binary"
	"fmt"
)

// Status is the answer of an ATA disk to SMART RETURN STATUS.
type Status int

// The answers.
const (
	NoStatus    Status = iota // none, or one that is not known
	WellStatus                // LBA 0xc24f
	FailsStatus               // LBA 0x2cf4: a threshold is exceeded
)

// The attributes that are read by number. Their numbers are the same for all makers.
const (
	reallocated = 5
	powerOn     = 9
	airflow     = 190
	temperature = 194
	pending     = 197
)

// FromATA reads the SMART data of an ATA disk, its thresholds (nil if it has none) and its status.
func FromATA(data, thresholds []byte, status Status) Health {
	if !checked(data) {
		if status == FailsStatus {
			return Health{}.judged([]string{"one of its SMART thresholds is exceeded"}, nil)
		}
		return unknown("its SMART data cannot be read")
	}
	limits := map[byte]byte{}
	if checked(thresholds) {
		for at := 2; at < 2+30*12; at += 12 {
			limits[thresholds[at]] = thresholds[at+1]
		}
	}
	var h Health
	var wrong, notes []string
	for at := 2; at < 2+30*12; at += 12 {
		a := data[at : at+12]
		id, value := a[0], a[3]
		raw := int64(binary.LittleEndian.Uint32(a[5:])) // some makers keep other things in the two bytes above
		switch id {
		case 0:
			continue
		case reallocated:
			h.Reallocated = raw
			if raw > 0 {
				notes = append(notes, fmt.Sprintf("it replaced %d bad sectors", raw))
			}
		case powerOn:
			h.Hours = raw
		case temperature, airflow:
			if c := int(a[5]); h.Celsius == 0 && c < 150 {
				h.Celsius = c
			}
		case pending:
			if raw > 0 {
				notes = append(notes, fmt.Sprintf("%d sectors cannot be read", raw))
			}
		}
		const preFailure = 1
		if limit := limits[id]; limit > 0 && value <= limit && a[1]&preFailure != 0 {
			wrong = append(wrong,
				fmt.Sprintf("SMART attribute %d is %d, not above its threshold of %d", id, value, limit))
		}
	}
	if status == FailsStatus && len(wrong) == 0 {
		wrong = append(wrong, "one of its SMART thresholds is exceeded")
	}
	return h.judged(wrong, notes)
}

// checked says whether b is a sector of SMART data: the sum of its bytes is 0, and not all of them are 0.
func checked(b []byte) bool {
	if len(b) != 512 {
		return false
	}
	sum, some := byte(0), false
	for _, c := range b {
		sum += c
		some = some || c != 0
	}
	return sum == 0 && some
}
