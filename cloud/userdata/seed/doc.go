// Package seed makes the disk from which cloud-init's NoCloud data source takes what a server is to do.
//
// Call NoCloud for the files, and ISO for a disk of them:
//
//	meta-data        the instance ID, the hostname and ssh keys
//	network-config   version 2, if the network is not the image's own
//	user-data        what userdata.Render returned
//
// All but the last are JSON, which is YAML too. The same seed gives the same bytes.
//
// Sources: cloud-init 22.4, docs "NoCloud" and "Networking config Version 2"; ECMA-119.
package seed
