// Package initramfs decides what goes into the boot image.
package initramfs
