//go:build torture

package pool

import "testing"

func TestTenThousandRoots(t *testing.T) { readMany(t, 10000) }
