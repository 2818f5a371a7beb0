package main

import (
	"log/slog"
	"os"

	"griddle/appliance/job"
	"griddle/initramfs/hardware"
	"griddle/initramfs/kmod"
)

// loadEDD loads the module by which package hardware knows the drives of the BIOS. UEFI has none.
func loadEDD(log *slog.Logger) {
	if _, err := os.Stat("/sys/firmware/efi"); err == nil {
		return
	}
	if err := kmod.Modprobe([]string{"edd"}); err != nil {
		log.Info("the BIOS's drives are not known", "error", err)
	}
}

// firstDrive is the path of the disk that is a drive of the BIOS: the only one of its size whose MBR has its signature,
// as far as both are known. It is "" if that is none or several. A disk that got a GPT since then has no signature.
func firstDrive(drive hardware.Drive, disks []job.Disk) string {
	found := ""
	for _, d := range disks {
		if drive.Sectors != 0 && d.Size/512 != drive.Sectors {
			continue
		}
		if d.Table == "mbr" && d.TableID != drive.Signature || drive.Sectors == 0 && drive.Signature == "" {
			continue
		}
		if drive.Sectors == 0 && d.Table != "mbr" {
			continue
		}
		if found != "" {
			return ""
		}
		found = d.Path
	}
	return found
}
