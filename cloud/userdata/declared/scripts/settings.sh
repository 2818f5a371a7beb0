#!/bin/sh
# Does what cloud-init cannot do by itself. cloud-init runs it once for each instance, by runcmd; a second run changes
# nothing. Each step fails by itself, and the exit code says whether one did.
umask 022
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
. /usr/local/lib/griddle/settings.conf
failed=0

step() { "$@" || { echo "griddle: $1 failed" >&2; failed=1; }; }

accounts() { # of users that the image has, cloud-init changes neither shell nor groups nor name
	printf '%s\n' "$users" | {
		bad=0
		while IFS=: read -r name shell groups full; do
			for group in $(echo "$groups" | tr , ' '); do
				getent group "$group" >/dev/null || groupadd "$group" || bad=1
			done
			[ -z "$groups" ] || usermod -a -G "$groups" "$name" || bad=1
			[ -z "$shell" ] || usermod -s "$shell" "$name" || bad=1
			[ -z "$full" ] || usermod -c "$full" "$name" || bad=1
		done
		return $bad
	}
}

file_owners() {
	printf '%s\n' "$owners" | {
		bad=0
		while IFS='	' read -r owner mode path; do
			chown "$owner" "$path" && chmod "$mode" "$path" || bad=1
		done
		return $bad
	}
}

ssh_server() {
	command -v sshd >/dev/null || { echo "this image has no sshd" >&2; return 1; }
	grep -qi '^include /etc/ssh/sshd_config.d/\*.conf' /etc/ssh/sshd_config || {
		# The first one wins.
		{ echo 'Include /etc/ssh/sshd_config.d/*.conf' && cat /etc/ssh/sshd_config; } >/etc/ssh/sshd_config.new &&
			mv /etc/ssh/sshd_config.new /etc/ssh/sshd_config || return
	}
	mkdir -p /run/sshd
	sshd -t || return
	systemctl daemon-reload
	for unit in ssh.socket sshd.socket ssh.service sshd.service; do
		if systemctl --quiet is-active "$unit"; then
			systemctl restart "$unit"
			return
		fi
	done
}

environment() {
	{
		grep -vi '_proxy=' /etc/environment 2>/dev/null
		printf 'http_proxy=%s\nhttps_proxy=%s\nHTTP_PROXY=%s\nHTTPS_PROXY=%s\nno_proxy=%s\nNO_PROXY=%s\n' \
			"$proxy" "$proxy" "$proxy" "$proxy" "$no_proxy" "$no_proxy"
	} >/etc/environment.new && mv /etc/environment.new /etc/environment && systemctl daemon-reload
}

swap_file() { # cloud-init makes one that btrfs does not take
	file=/swapfile
	if [ "$(stat -f -c %T /)" = btrfs ] && command -v btrfs >/dev/null; then
		# btrfs makes no snapshot of a root with a swap file in it.
		[ -d /swap ] || btrfs subvolume create /swap >/dev/null || return
		file=/swap/swapfile
	fi
	if [ "$(stat -c %s $file 2>/dev/null)" != "$swap" ]; then
		swapoff $file 2>/dev/null
		rm -f $file
		(umask 077 && : >$file) || return
		[ "$(stat -f -c %T /)" != btrfs ] || chattr +C $file || return
		fallocate -l "$swap" $file 2>/dev/null ||
			dd if=/dev/zero of=$file bs=1M count=$((swap / 1048576)) 2>/dev/null ||
			{ rm -f $file; echo "there is no room for $swap bytes" >&2; return 1; }
		mkswap $file >/dev/null || return
	fi
	grep -q "^$file[[:space:]]" /etc/fstab || echo "$file none swap sw 0 0" >>/etc/fstab || return
	grep -q "^$file " /proc/swaps || swapon $file
}

name_servers() { # of interfaces that are the image's own
	if systemctl --quiet is-active systemd-resolved.service; then
		mkdir -p /etc/systemd/resolved.conf.d &&
			printf '[Resolve]\nDNS=%s\nDomains=%s\n' "$dns" "${dns:+~. }$search" >/etc/systemd/resolved.conf.d/10-griddle.conf &&
			systemctl restart systemd-resolved.service
		return
	fi
	if [ -f /etc/dhcp/dhclient.conf ]; then
		sed -i '/# griddle$/d' /etc/dhcp/dhclient.conf
		four=$(printf '%s\n' $dns | grep -v : | paste -s -d ,)
		six=$(printf '%s\n' $dns | grep : | paste -s -d ,)
		domains=$(printf '"%s"\n' $search | paste -s -d ,)
		[ -z "$four" ] || echo "supersede domain-name-servers $four; # griddle" >>/etc/dhcp/dhclient.conf
		[ -z "$six" ] || echo "supersede dhcp6.name-servers $six; # griddle" >>/etc/dhcp/dhclient.conf
		[ -z "$search" ] || echo "supersede domain-search $domains; # griddle" >>/etc/dhcp/dhclient.conf
	fi
	{
		sed -e "${dns:+/^nameserver/d}" -e "${search:+/^search/d}" /etc/resolv.conf 2>/dev/null
		[ -z "$search" ] || echo "search $search"
		[ -z "$dns" ] || printf 'nameserver %s\n' $dns
	} >/etc/resolv.conf.new && mv /etc/resolv.conf.new /etc/resolv.conf
}

network() { # where cloud-init wrote files for networkd, it left out VLANs and bonds
	ls /etc/systemd/network/10-cloud-init-*.network >/dev/null 2>&1 || return 0
	! systemctl --quiet is-active systemd-networkd.service || networkctl reload
}

enable() {
	systemctl daemon-reload
	systemctl --quiet enable $units && systemctl start --no-block $units
}

[ -z "$users" ] || step accounts
[ -z "$owners" ] || step file_owners
[ -z "$sshd" ] || step ssh_server
[ -z "$proxy" ] || step environment
[ "$swap" = 0 ] || step swap_file
[ -z "$dns$search" ] || step name_servers
[ -z "$networkd" ] || step network
[ -z "$units" ] || step enable
exit $failed
