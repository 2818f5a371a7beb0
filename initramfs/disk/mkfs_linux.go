package disk

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
)

// MakeBtrfs makes a btrfs filesystem with the given label and UUID on a partition, and overwrites its content. On
// several partitions it is a mirror: all data and metadata are on two of them (mkfs.btrfs(8), profile RAID1).
func MakeBtrfs(ctx context.Context, label, uuid string, nodes ...string) error {
	args := []string{"--quiet", "--force", "--label", label, "--uuid", uuid}
	if len(nodes) > 1 {
		args = append(args, "--data", "raid1", "--metadata", "raid1")
	}
	return run(ctx, "mkfs.btrfs", append(args, nodes...)...)
}

// MakeFAT makes a FAT32 filesystem with the given label and volume ID (8 hexadecimal digits) on a partition with
// sectors of sectorSize bytes.
func MakeFAT(ctx context.Context, node, label, id string, sectorSize int) error {
	// FAT32 must have 65525 clusters or more, else firmware takes it for FAT16 (fatgen103 section 3.5): 260 MiB hold
	// that many of one 4096-byte sector.
	cluster := "2"
	if sectorSize > 512 {
		cluster = "1"
	}
	return run(ctx, "mkfs.vfat", "-F", "32", "-s", cluster, "-n", label, "-i", id, node)
}

func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("running %s on %s: %w: %s", name, args[len(args)-1], err, bytes.TrimSpace(out))
	}
	return nil
}
