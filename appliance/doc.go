// Package appliance is the provisioning server: read a configuration (package config), then call Serve.
//
// It wires the parts together and owns the state. One process serves, on one interface: DHCP or
// proxyDHCP, TFTP and router advertisements (package netboot), and
//
//	http   GET /boot/FILE           kernel, initramfs and loaders, with Range
//	       GET /boot/site.cpio      the site's part of the boot image
//	       GET /boot.ipxe           the boot script of a machine
//	       GET /v1/images, /v1/blobs/DIGEST   what is published: public, signed, with Range
//	       GET /healthz, /readyz    whether it serves, and whether it can work (package readiness); https too
//	https  /v1/agent, /v1/machines  package api
//	       /v1/images, /v1/catalog, /v1/blobs, /v1/collect   publishing, with the administrator's token
//
// The state directory holds
//
//	ca.pem, ca.key            the CA that agents pin; created once
//	ca.next.pem, ca.next.key  the CA that will follow, until the switch to it (package authority)
//	server.pem, server.key    its certificate for this server; replaced when an address changes or before it expires
//	site.key, site.pub        the key that signs what this store derives (minisign)
//	admin.token               the administrator's bearer token
//	publishers/               who may publish with which token (package publishtoken)
//	settings.key              what the settings of machines are sealed for; made with the first of them
//	server.url                where the last serve listened, for the command line on the same host
//	fleet.db                  machines, jobs and the journal
//	notice                    what installed machines should know, signed; see package notice
//	webhooks/                 what each webhook got last (package webhook)
//	leases                    the DHCP journal, in mode dhcp
//	reserve                   8 MiB that a start on a full filesystem frees to have space
//	lock                      locked by the one serve that uses the directory
//
// Everything in it that is created once is written durably: to a temporary file, flushed, renamed, and the directory
// flushed. Files with secrets have mode 0600.
package appliance
