#!/bin/bash
# Adds to the small Debian what starts arrays, volume groups and encrypted volumes. Its initrd knows arrays and volume
# groups too. The libraries of tpm2-tss are for what the TPM opens; systemd has the rest of encryption
# (docs/TEMPLATE.md). It goes before more.sh.
packages="mdadm lvm2 libtss2-esys-3.0.2-0 libtss2-rc0 libtss2-tcti-device0"
off=
