//go:build !cloud

package qemu

const (
	faultStep = 12 // of so many operations one fails
	kills     = 4
)
