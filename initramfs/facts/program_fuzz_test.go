package facts

import "testing"

// Whatever resize2fs prints, a size that comes of it is one.
func FuzzSmallest(f *testing.F) {
	f.Add("resize2fs 1.47.0 (5-Feb-2023)\nEstimated minimum size of the filesystem: 1234\n")
	f.Add("Estimated minimum size of the filesystem: -1")
	f.Add("Estimated minimum size of the filesystem: 99999999999999999999")
	f.Fuzz(func(t *testing.T, out string) {
		if n, err := parseSmallest(out); (err == nil) != (n > 0) {
			t.Errorf("parseSmallest(%q) = %d, %v", out, n, err)
		}
	})
}
