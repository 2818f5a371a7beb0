#!/bin/bash
# Makes the root of an OpenStack (Zed) without a hypervisor from Debian 12's packages: root.sh ROOT MIRROR SECURITY.
# Nothing in it is configured; configure.sh does that.
set -euo pipefail
root=$1 mirror=$2 security=$3

packages=keystone,glance,nova-api,nova-scheduler,nova-conductor,nova-compute,placement-api,neutron-server
packages+=,neutron-linuxbridge-agent,rabbitmq-server,mariadb-server,python3-openstackclient,python3-pymysql,qemu-utils
packages+=,uwsgi-core,uwsgi-plugin-python3,ca-certificates,iproute2,procps,passwd,sqlite3

# No service starts: policy-rc.d says so before any package is unpacked.
mmdebstrap --mode=root --variant=minbase --include="$packages" \
	--aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Check-Date "false"' \
	--aptopt='APT::Install-Recommends "false"' \
	--dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
	--setup-hook='mkdir -p "$1/usr/sbin"; printf "#!/bin/sh\nexit 101\n" >"$1/usr/sbin/policy-rc.d"; chmod +x "$1/usr/sbin/policy-rc.d"' \
	bookworm "$root" \
	"deb $mirror bookworm main" "deb $mirror bookworm-updates main" "deb $security bookworm-security main"
