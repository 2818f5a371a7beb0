//go:build !torture

package receive_test

// How many random trees TestDifferential tries in `make test`.
const differentialRounds = 2
