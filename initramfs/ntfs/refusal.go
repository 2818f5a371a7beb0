package ntfs

import (
	"fmt"
	"strings"
)

// Reason is why a volume is not shrunk.
type Reason string

// The reasons.
const (
	NotNTFS    Reason = "not ntfs"
	BitLocker  Reason = "bitlocker"
	Hibernated Reason = "hibernated"
	Unclean    Reason = "unclean"     // its $LogFile has changes that are not finished
	Dirty      Reason = "dirty"       // it is marked for a check
	Damaged    Reason = "damaged"     // a program, or the reader of this package, finds it inconsistent
	BadSectors Reason = "bad sectors" // it lists some
	Cut        Reason = "cut"         // it is larger than its partition
	Sectors    Reason = "sectors"     // the disk's are not those that the volume was made for
	InUse      Reason = "in use"      // it is mounted, or another program has it
	TooSmall   Reason = "too small"   // the wanted size is below the minimum
	TooLarge   Reason = "too large"   // the wanted size is not below the present one
	HalfDone   Reason = "half done"   // a resize of it was interrupted
)

// Refusal says why a volume is not shrunk, and what a person should do.
type Refusal struct {
	Reason Reason
	Why    string // what is wrong, in words: "Windows is hibernated…"
	Do     string // what to do next, in words
}

// Error is "Why: Do".
func (r Refusal) Error() string {
	if r.Do == "" {
		return r.Why
	}
	return r.Why + ": " + r.Do
}

// What to do in Windows. Fast startup makes "Shut down" hibernate, and "Restart" not.
const (
	doRestart = "start Windows, choose Restart (not Shut down), and start this computer from the network again"
	doCheck   = "start Windows, run `chkdsk /f` with the letter of this drive as administrator, restart Windows " +
		"twice, and try again"
	doDecrypt = "in the settings of Windows, turn off device encryption or BitLocker for this drive, wait until it " +
		"is decrypted, choose Restart, and try again; keep the recovery key"
)

func refuse(reason Reason) Refusal {
	r := Refusal{Reason: reason}
	switch reason {
	case NotNTFS:
		r.Why, r.Do = "it is not an NTFS volume", "choose another partition"
	case BitLocker:
		r.Why, r.Do = "it is encrypted by BitLocker", doDecrypt
	case Hibernated:
		r.Why, r.Do = "Windows is hibernated on it, or was shut down with fast startup", doRestart
	case Unclean:
		r.Why, r.Do = "Windows has not finished its last changes of it", doRestart
	case Dirty:
		r.Why, r.Do = "it is marked for a check by Windows", doCheck
	case BadSectors:
		r.Why, r.Do = "its list of bad sectors is not empty", "copy your files to another disk, and replace this disk"
	case InUse:
		r.Why, r.Do = "it is in use", "unmount it, or stop the program that has it open, and try again"
	}
	return r
}

// damaged refuses a volume with what a program or the reader said.
func damaged(what string) Refusal {
	return Refusal{Reason: Damaged, Why: "it is damaged (" + plain(what) + ")", Do: doCheck}
}

// understand makes a refusal of what ntfsresize said when it failed.
func understand(failure string) Refusal {
	switch {
	case strings.Contains(failure, textDirty):
		return refuse(Dirty)
	case strings.Contains(failure, textDamaged):
		return damaged("ntfsresize finds it inconsistent")
	case strings.Contains(failure, textMounted):
		return refuse(InUse)
	case strings.Contains(failure, textBad):
		return refuse(BadSectors)
	case strings.Contains(failure, textTooSmall), strings.Contains(failure, textFull):
		return Refusal{Reason: TooSmall, Why: "its files do not fit into that size",
			Do: "choose a larger size, or delete files in Windows and try again"}
	}
	return damaged(failure)
}

// size is a number of bytes as this package writes it.
func size(n int64) string { return fmt.Sprintf("%d bytes (%.1f GB)", n, float64(n)/1e9) }
