//go:build torture

package receive_test

// How many random trees TestDifferential tries under `make torture`.
const differentialRounds = 300
