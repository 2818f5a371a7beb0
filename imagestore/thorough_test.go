//go:build !torture

package imagestore_test

// How much the tests of crashes and faults try in `make test`; see thorough_torture_test.go.
const (
	thorough     = 1  // multiplies numbers of rounds
	stride       = 3  // of the costlier faults one in so many
	costlyStride = 8  // of operations of scenarios with trees one in so many
	killRounds   = 10 // of each of five loops
)
