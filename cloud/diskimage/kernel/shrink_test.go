package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestShrinkKernels(t *testing.T) {
	dir := t.TempDir()
	for i, days := range []int{0, 2, 3, 4} {
		kernel := filepath.Join(dir, strings.Repeat(fmt.Sprint(i), 64))
		if err := os.MkdirAll(filepath.Join(kernel, "lib"), 0o755); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-time.Duration(days) * 24 * time.Hour)
		if err := os.Chtimes(kernel, at, at); err != nil {
			t.Fatal(err)
		}
	}
	gone, err := Shrink(t.Context(), dir, 2)
	if err != nil || len(gone) != 2 {
		t.Errorf("ShrinkKernels = %q, %v", gone, err)
	}
	if gone, err = Shrink(t.Context(), dir, 0); err != nil || len(gone) != 1 || !strings.HasSuffix(gone[0], "111") {
		t.Errorf("ShrinkKernels to none = %q, %v, want all but the one of today", gone, err)
	}
	if gone, err = Shrink(t.Context(), filepath.Join(dir, "none"), 0); err != nil || len(gone) != 0 {
		t.Errorf("ShrinkKernels where there is nothing = %q, %v", gone, err)
	}
}
