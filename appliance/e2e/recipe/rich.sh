#!/bin/bash
# Makes the small Debian richer: the other programs that configure a network, those that configure a machine, and
# cloud-init. All are off: a test turns one on. It goes before more.sh.
packages="ifupdown isc-dhcp-client network-manager cloud-init locales puppet-agent ansible-core git"
off="NetworkManager.service NetworkManager-dispatcher.service NetworkManager-wait-online.service networking.service
puppet.service"
