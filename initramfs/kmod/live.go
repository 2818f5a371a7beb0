package kmod

import (
	"fmt"
	"io/fs"
	"strings"
	"time"
)

// A module is in /proc/modules from the beginning of its start on, and u-root's prober takes it for one that is loaded.
// Another program may have begun it, and its start may take seconds (raid6_pq measures the processor).
const (
	look    = 10 * time.Millisecond
	patient = time.Minute
)

// await waits until a module that is in the kernel has started. modules is /sys/module; a module that is not there, or
// is a part of the kernel, needs no wait (kernel/module/sysfs.c and main.c, show_initstate).
func await(modules fs.FS, name string, wait func(time.Duration)) error {
	for range int(patient / look) {
		state, err := fs.ReadFile(modules, name+"/initstate")
		if err != nil || strings.TrimSpace(string(state)) != "coming" {
			return nil
		}
		wait(look)
	}
	return fmt.Errorf("it has been starting for %v", patient)
}
