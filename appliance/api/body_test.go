package api

import (
	"testing"
	"unsafe"

	"griddle/appliance/job"
)

// TestPerValue: the budget of bodies counts the largest value that one may have.
func TestPerValue(t *testing.T) {
	if n := unsafe.Sizeof(job.Disk{}); n > perValue {
		t.Errorf("a job.Disk takes %d bytes, more than the %d of perValue", n, perValue)
	}
}
