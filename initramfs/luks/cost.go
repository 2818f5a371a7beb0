package luks

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// The memory that one try of a passphrase takes, in KiB. cryptsetup takes at most 1 GiB (lib/utils_pbkdf.c), or half of
// the machine's memory, also where a boot image needs that for itself.
const leastMemory, mostMemory = 64 << 10, 1 << 20

// affordable is the cost of a passphrase that this machine can try now, without another program being killed for it.
func affordable() ([]string, error) {
	var s unix.Sysinfo_t
	if err := unix.Sysinfo(&s); err != nil {
		return nil, fmt.Errorf("asking for the free memory: %w", err)
	}
	return []string{"--pbkdf-memory", fmt.Sprint(memoryCost(uint64(s.Freeram) * uint64(s.Unit)))}, nil
}

// memoryCost is the memory of a try where so many bytes are free, in KiB.
func memoryCost(free uint64) uint64 { return min(max(free/1024/2, leastMemory), mostMemory) }
