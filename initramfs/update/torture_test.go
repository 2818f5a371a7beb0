//go:build torture

package update_test

import "time"

// How much TestKilled and TestPowerCut do.
const (
	kills     = 100
	powerCuts = 100
	pause     = 10 * time.Millisecond
)
