package toolbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// spare is what other programs of the machine may need meanwhile, in bytes: an install that runs, and the decoder.
const spare = 64 << 20

// room is an error if the machine has too little memory: then something else would fail, and no one would know why.
func (b *Box) room() error {
	ask := b.memory
	if ask == nil {
		ask = available
	}
	have, err := ask()
	if err != nil {
		return fmt.Errorf("fetching the tools archive: %w", err)
	}
	if need := b.Archive.Size + b.Archive.Unpacked + spare; have < need {
		return fmt.Errorf("the tools archive needs %d MB of memory, and this machine has %d MB left; add memory",
			need/1e6, have/1e6)
	}
	// The kernel limits the filesystem that the boot image is in to half of the memory.
	var st unix.Statfs_t
	if err := unix.Statfs(b.Root, &st); err != nil {
		return fmt.Errorf("fetching the tools archive: looking at %s: %w", b.Root, err)
	}
	if left := int64(st.Bavail) * st.Bsize; st.Blocks > 0 && left < b.Archive.Unpacked {
		return fmt.Errorf("the tools archive needs %d MB of %s, which has %d MB left; add memory",
			b.Archive.Unpacked/1e6, b.Root, left/1e6)
	}
	return nil
}

// available is MemAvailable of /proc/meminfo (proc(5)), in bytes.
func available() (int64, error) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	return parseAvailable(b)
}

func parseAvailable(meminfo []byte) (int64, error) {
	for s := bufio.NewScanner(bytes.NewReader(meminfo)); s.Scan(); {
		if value, ok := strings.CutPrefix(s.Text(), "MemAvailable:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 53)
			if err != nil || kib < 0 {
				return 0, fmt.Errorf("/proc/meminfo says %.100q of the memory that is available", s.Text())
			}
			return kib << 10, nil
		}
	}
	return 0, errors.New("/proc/meminfo does not say how much memory is available")
}

// bundle is where the programs of the archive look for the CAs that they trust.
const bundle = "etc/ssl/certs/ca-certificates.crt"

// trust adds the site's CA to the CAs of the archive, which were just unpacked.
func (b *Box) trust() error {
	if len(b.CA) == 0 {
		return nil
	}
	file := filepath.Join(b.Root, bundle)
	public, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("adding the site's CA to those of the tools archive: %w", err)
	}
	if bytes.Contains(public, b.CA) {
		return nil
	}
	all := append(bytes.Clone(public), b.CA...)
	if err := os.WriteFile(file+".new", all, 0o644); err != nil {
		return fmt.Errorf("adding the site's CA to those of the tools archive: %w", err)
	}
	return os.Rename(file+".new", file)
}
