package kmod

import (
	"testing"
	"testing/fstest"
	"time"
)

// A module that another program loads is loaded once it has started, and not when it appears.
func TestAwait(t *testing.T) {
	sys := fstest.MapFS{
		"btrfs/initstate":  {Data: []byte("coming\n")},
		"stuck/initstate":  {Data: []byte("coming\n")},
		"vfat/initstate":   {Data: []byte("live\n")},
		"builtin/uevent":   {},
		"leaves/initstate": {Data: []byte("going\n")},
	}
	for _, tt := range []struct {
		name  string
		waits int
		fails bool
	}{{"btrfs", 3, false}, {"vfat", 0, false}, {"builtin", 0, false}, {"none", 0, false}, {"leaves", 0, false},
		{"stuck", int(patient / look), true}} {
		waits := 0
		err := await(sys, tt.name, func(time.Duration) {
			if waits++; waits == 3 {
				sys["btrfs/initstate"] = &fstest.MapFile{Data: []byte("live\n")}
			}
		})
		if waits != tt.waits || (err != nil) != tt.fails {
			t.Errorf("await(%s) = %v after %d pauses, want %d", tt.name, err, waits, tt.waits)
		}
	}
}
