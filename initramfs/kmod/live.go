package kmod

import (
	"fmt"
	"strings"
	"time"
)

// A module is in /proc/modules from the beginning of its start on, and u-root's prober takes it for one that is loaded.
// Another program may have begun it, and its start may take seconds (raid6_pq measures the processor).
const (
	look    = 10 * time.Millisecond
	patient = time.Minute
)

// await waits until a module that is in the kernel has started. modules reads /proc/modules: in it a module that starts
// is "Loading", also before it has a folder in /sys/module (kernel/module/procfs.c, load_module in main.c).
func await(modules func() ([]byte, error), name string, wait func(time.Duration)) error {
	for range int(patient / look) {
		all, err := modules()
		if err != nil || !starts(string(all), name) {
			return nil
		}
		wait(look)
	}
	return fmt.Errorf("it has been starting for %v", patient)
}

// starts says whether a module has not started yet: NAME SIZE USERS NEEDED-BY STATE ADDRESS (proc(5)).
func starts(modules, name string) bool {
	for line := range strings.Lines(modules) {
		if f := strings.Fields(line); len(f) > 4 && f[0] == name {
			return f[4] == "Loading"
		}
	}
	return false
}
