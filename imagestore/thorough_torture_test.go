//go:build torture

package imagestore_test

// How much the tests of crashes and faults try under `make torture`.
const (
	thorough     = 10
	stride       = 1
	costlyStride = 1 // of operations of scenarios with trees one in so many
	killRounds   = 125
)
