package erase

import (
	"context"
	"fmt"

	"griddle/appliance/job"
	"griddle/initramfs/erase/ata"
	"griddle/initramfs/erase/nvme"
)

// The methods that a certificate names.
const (
	methodOverwrite     = "overwrite"
	methodDiscard       = "discard"
	methodSecureDiscard = "secure-discard"
)

// way is a way to erase a disk.
type way struct {
	method string // of the certificate
	level  job.EraseLevel
	name   string // for people
	// run carries it out by commands of the disk, and gets what tells how much is done, 0 to 1. It is nil for an
	// overwrite.
	run func(ctx context.Context, report func(float64)) error
	// zeros says that all of the disk must read as zeros afterwards.
	zeros bool
	// blind says that it cannot be stopped, and that no one knows how far it is.
	blind bool
}

// found is what the disk says of itself.
type found struct {
	ways   []way // the best first
	notes  []string
	hidden int64 // bytes behind the end of the disk
}

// look asks the disk what it can do, by the commands of its bus. Those of other buses may be taken for something else
// by bridges and controllers. It changes nothing.
func look(d Device, on job.Disk) found {
	var f found
	switch on.Bus {
	case "nvme":
		f = lookNVMe(d)
	case "sata":
		f = lookATA(d.ATA(), on)
	case "mmc":
		f.ways = append(f.ways, way{method: methodSecureDiscard, level: job.Clear, name: "the secure discard of eMMC",
			run: func(context.Context, func(float64)) error { return d.SecureDiscard() }, blind: true})
	}
	f.ways = append(f.ways, way{method: methodOverwrite, level: job.Clear, name: "overwriting with zeros"},
		way{method: methodDiscard, level: job.Discard, name: "discarding", zeros: true, blind: true,
			run: func(context.Context, func(float64)) error { return d.Discard() }})
	return f
}

func lookNVMe(d Device) (f found) {
	drive, err := d.NVMe()
	var can nvme.Abilities
	if err == nil {
		can, err = drive.Look()
	}
	if err != nil {
		f.notes = []string{fmt.Sprintf("the drive was not asked to erase itself: %v", err)}
		return f
	}
	f.notes = can.Notes
	actions := can.Sanitize
	if can.Running != 0 {
		actions = append([]nvme.Action{can.Running}, actions...)
	}
	for i, a := range actions {
		kind := map[nvme.Action]string{nvme.BlockErase: "block", nvme.CryptoErase: "crypto",
			nvme.Overwrite: "overwrite"}[a]
		running := i == 0 && can.Running != 0
		f.ways = append(f.ways, way{method: "nvme-sanitize-" + kind, level: job.Purge, name: "NVMe Sanitize, " + kind,
			run: func(ctx context.Context, report func(float64)) error {
				return drive.Sanitize(ctx, a, running,
					report)
			}})
	}
	for _, e := range can.Format {
		kind := map[nvme.SecureErase]string{nvme.UserData: "user", nvme.Cryptographic: "crypto"}[e]
		f.ways = append(f.ways, way{method: "nvme-format-" + kind, level: job.Purge, blind: true,
			name: "NVMe Format with secure erase, " + kind,
			run:  func(context.Context, func(float64)) error { return drive.Format(can, e) }})
	}
	return f
}

func lookATA(drive ata.Drive, on job.Disk) (f found) {
	can, err := drive.Look()
	if err != nil {
		f.notes = []string{fmt.Sprintf("the drive was not asked to erase itself: %v", err)}
		return f
	}
	f.notes, f.hidden = can.Notes, int64(can.Hidden)*int64(on.SectorSize)
	for i, a := range can.Sanitize {
		kind := map[ata.Action]string{ata.BlockErase: "block", ata.CryptoScramble: "crypto",
			ata.Overwrite: "overwrite"}[a]
		running := i == 0 && can.Running
		if running { // it does not say which one it is
			kind = "running"
			f.notes = append(f.notes, "a sanitize was under way already, and was waited for")
		}
		f.ways = append(f.ways, way{method: "ata-sanitize-" + kind, level: job.Purge,
			name: "ATA SANITIZE DEVICE, " + kind,
			run: func(ctx context.Context, report func(float64)) error {
				return drive.Sanitize(ctx, a, running,
					report)
			}})
	}
	if !can.Erase {
		return f
	}
	erase := func(enhanced bool) func(context.Context, func(float64)) error {
		return func(context.Context, func(float64)) error { return drive.SecurityErase(can, enhanced) }
	}
	// SP 800-88 appendix A: the enhanced one purges a disk that turns; on flash memory both clear.
	if can.Enhanced {
		level := job.Purge
		if can.Solid {
			level = job.Clear
		}
		f.ways = append(f.ways, way{method: "ata-erase-enhanced", level: level,
			name: "ATA SECURITY ERASE UNIT, enhanced",
			run:  erase(true), blind: true})
	}
	// A disk that turns is overwritten by us instead, where one sees how far it is.
	if can.Solid || can.Locked {
		f.ways = append(f.ways, way{method: "ata-erase", level: job.Clear, name: "ATA SECURITY ERASE UNIT",
			run: erase(false), blind: true})
	}
	return f
}

// choose returns the ways that reach the level, the one to try first first.
func choose(level job.EraseLevel, all []way) (out []way) {
	for _, w := range all {
		fits := false
		switch level {
		case job.Purge:
			fits = w.level == job.Purge
		case job.Clear:
			fits = w.method == methodOverwrite
		case job.Discard:
			fits = w.method == methodDiscard
		default:
			fits = w.method != methodDiscard
		}
		if fits {
			out = append(out, w)
		}
	}
	return out
}
