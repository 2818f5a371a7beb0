// Package full holds the long virtual machine tests, which run with the build tag e2e (`make e2e`): every combination
// of firmware, DHCP mode and kind of disk, and what goes wrong in the middle of an install.
package full
