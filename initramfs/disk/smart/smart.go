// Package smart asks a disk how it is: an NVMe disk for its health log, a SATA disk for its SMART data.
//
// Call Ask. The parsers FromNVMe and FromATA are pure. Nothing is written to a disk, and no test is started. Disks on
// other buses are not asked: bridges and controllers may take such a command for something else.
//
// The health log of NVMe, of which this is read:
//
//	0        1             3       5      6        128           144    160           176   512
//	+--------+-------------+-------+------+--------+-------------+------+-------------+------+
//	| warn-  | temperature | spare | used | …      | power-on    | …    | media       | …    |
//	| ings   | u16, kelvin | , min |  %   |        | hours, u128 |      | errors, u128|      |
//	+--------+-------------+-------+------+--------+-------------+------+-------------+------+
//
// SMART data has 30 attributes of 12 bytes, each with its ID, flags, a value that sinks with wear, and 6 raw bytes. The
// thresholds are a second sector of the same form. Both have a checksum. A disk fails, by its own word, when it answers
// so to RETURN STATUS, or when the value of a pre-failure attribute is not above its threshold.
//
// Sources: NVM Express 1.4 section 5.14.1.2; ACS-3 section 7.48 and, for the attributes, ATA-3 as smartmontools reads
// it; the kernel's include/uapi/linux/nvme_ioctl.h, hdreg.h and drivers/ata/libata-scsi.c.
package smart

import (
	"fmt"
	"strings"
)

// The values of Health.State.
const (
	OK      = "ok"      // the disk says that it is well
	Failing = "failing" // the disk says that it fails
	Unknown = "unknown" // it was asked, and did not answer or not in a form that is known
)

// Health is what a disk says of itself. The zero value means that it was not asked.
type Health struct {
	State       string
	Reason      string // in words, why it fails, or what a person should know of a disk that is well; or ""
	Hours       int64  // with power on; 0 if not known
	Celsius     int    // 0 if not known
	Used        int    // percent of the writes that it is made for, of NVMe; may be above 100
	Reallocated int64  // sectors that the disk replaced, of SATA
}

// unknown is a disk that did not answer.
func unknown(format string, args ...any) Health {
	return Health{State: Unknown, Reason: fmt.Sprintf(format, args...)}
}

// judged sets State and Reason by what is wrong, and by what a person should only know.
func (h Health) judged(wrong, notes []string) Health {
	h.State = OK
	if len(wrong) > 0 {
		h.State = Failing
	}
	h.Reason = strings.Join(append(wrong, notes...), ", ")
	return h
}
