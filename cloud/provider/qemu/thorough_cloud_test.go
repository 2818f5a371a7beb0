//go:build cloud

package qemu

const (
	faultStep = 1
	kills     = 60
)
