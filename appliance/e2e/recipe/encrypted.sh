#!/bin/bash
# Adds to the small Debian what its initrd opens an encrypted pool with, by a passphrase and by a TPM
# (docs/TEMPLATE.md): dracut takes the place of initramfs-tools. It goes before more.sh, and dracut.sh behind that.
packages="dracut cryptsetup libtss2-esys-3.0.2-0 libtss2-rc0 libtss2-tcti-device0 tpm2-tools"
off=
