package kmod

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// A module that another program loads is loaded once it has started, and not when it appears.
func TestAwait(t *testing.T) {
	modules := "btrfs 1830912 1 - Loading 0x0\nstuck 16384 1 - Loading 0x0\nvfat 20480 0 - Live 0x0\n" +
		"raid6_pq 122880 1 btrfs, Live 0x0\nleaves 16384 0 - Unloading 0x0\n"
	for _, tt := range []struct {
		name  string
		waits int
		fails bool
	}{{"btrfs", 3, false}, {"vfat", 0, false}, {"raid6_pq", 0, false}, {"none", 0, false}, {"leaves", 0, false},
		{"stuck", int(patient / look), true}} {
		waits := 0
		read := func() ([]byte, error) { return []byte(modules), nil }
		err := await(read, tt.name, func(time.Duration) {
			if waits++; waits == 3 {
				modules = strings.Replace(modules, "btrfs 1830912 1 - Loading", "btrfs 1830912 1 - Live", 1)
			}
		})
		if waits != tt.waits || (err != nil) != tt.fails {
			t.Errorf("await(%s) = %v after %d pauses, want %d", tt.name, err, waits, tt.waits)
		}
	}
	if err := await(func() ([]byte, error) { return nil, errors.New("no /proc") }, "btrfs", nil); err != nil {
		t.Errorf("await without /proc/modules = %v", err)
	}
}
