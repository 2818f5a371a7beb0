//go:build !torture

package update_test

import "time"

// How much TestKilled and TestPowerCut do.
const (
	kills     = 6
	powerCuts = 6
	pause     = 60 * time.Millisecond
)
