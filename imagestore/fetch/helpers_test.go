package fetch

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func quick(o Options) Options {
	o.Backoff = time.Microsecond
	return o
}

// memoryLimit is what the agent may take, in bytes: machines with 1 GiB run it, with their root in memory.
const memoryLimit = 200 << 20

// printPeak says how much memory this process had at the most.
func printPeak(t *testing.T) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("peak %d \n", kib<<10)
}
