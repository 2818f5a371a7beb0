// Package roomtest is the part of the virtual machine tests that every change must pass: two machines side by side on
// one LAN, from power-on to the login prompt of their own disks.
package roomtest
