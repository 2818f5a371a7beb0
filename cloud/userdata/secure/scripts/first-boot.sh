#!/bin/sh
# Finishes a server's first boot, called by cloud-init's runcmd; called with "report", when cloud-init is done, it says
# on the console and in /var/lib/griddle/first-boot whether all went well. Each step fails by itself.
umask 022
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
lib=/usr/local/lib/griddle state=/var/lib/griddle
. $lib/first-boot.conf
mkdir -p $state

step() {
	out=$("$@" 2>&1 </dev/null) || printf '%s: %s\n' "$1" "$(echo "$out" | tail -n 4 | tr '\n' ' ' | cut -c 1-500)" >>$state/failed
}

unlocked() { awk -F: '$2 !~ /^[!*]/ { print $1 }' /etc/shadow; }

passwords() {
	pwconv || return
	for user in root $(unlocked); do
		passwd -q -l "$user" || return
	done
	[ -z "$(unlocked)" ] || { echo "not locked: $(unlocked)"; return 1; }
}

sudoers() {
	for user in $sudo; do
		sudo -n -l -U "$user" | grep -q 'NOPASSWD: ALL' || { echo "$user cannot become root"; return 1; }
	done
}

effective() { # USER: what sshd will demand of him
	/usr/sbin/sshd -T -C "user=$1,host=unknown,addr=192.0.2.1" 2>/dev/null
}

sshd() {
	command -v /usr/sbin/sshd >/dev/null || { echo "this image has no sshd"; return 1; }
	grep -qi '^include /etc/ssh/sshd_config.d/\*.conf' /etc/ssh/sshd_config || {
		# The first one wins.
		{ echo 'Include /etc/ssh/sshd_config.d/*.conf' && cat /etc/ssh/sshd_config; } >/etc/ssh/sshd_config.new &&
			mv /etc/ssh/sshd_config.new /etc/ssh/sshd_config || return
	}
	mkdir -p /run/sshd
	/usr/sbin/sshd -t || return
	for user in root $users; do
		for want in 'permitrootlogin no' 'passwordauthentication no' 'kbdinteractiveauthentication no' "port $port"; do
			effective "$user" | grep -qx "$want" || { echo "for $user sshd does not say '$want'"; return 1; }
		done
	done
	[ "$(effective root | grep -c '^port ')" = 1 ] || { echo "sshd listens at other ports too"; return 1; }
	systemctl daemon-reload
	if systemctl --quiet is-enabled ssh.socket 2>/dev/null || systemctl --quiet is-active ssh.socket; then
		systemctl restart ssh.socket
	else
		systemctl restart ssh.service
	fi
}

firewall() {
	command -v nft >/dev/null || { echo "this image has no nftables"; return 1; }
	nft list chain inet griddle input | grep -q 'policy drop' || { echo "the rules are not loaded"; return 1; }
	systemctl --quiet is-enabled nftables.service
}

disk() { $lib/data-disk "$@"; }

time_servers() {
	if systemctl cat systemd-timesyncd.service >/dev/null 2>&1; then
		mkdir -p /etc/systemd/timesyncd.conf.d &&
			printf '[Time]\nNTP=%s\nFallbackNTP=\n' "$ntp" >/etc/systemd/timesyncd.conf.d/10-griddle.conf &&
			systemctl --quiet enable systemd-timesyncd.service && systemctl restart systemd-timesyncd.service
	elif [ -d /etc/chrony/sources.d ]; then
		sed -i 's/^\(pool\|server\) /#&/' /etc/chrony/chrony.conf &&
			for server in $ntp; do echo "server $server iburst"; done >/etc/chrony/sources.d/griddle.sources &&
			systemctl restart chrony.service
	else
		echo "this image has neither systemd-timesyncd nor chrony"
		return 1
	fi
}

name_servers() {
	if systemctl --quiet is-active systemd-resolved.service; then
		mkdir -p /etc/systemd/resolved.conf.d &&
			printf '[Resolve]\nDNS=%s\nDomains=~.\n' "$dns" >/etc/systemd/resolved.conf.d/10-griddle.conf &&
			systemctl restart systemd-resolved.service
		return
	fi
	if [ -f /etc/dhcp/dhclient.conf ]; then
		sed -i '/# griddle$/d' /etc/dhcp/dhclient.conf
		four=$(printf '%s\n' $dns | grep -v : | paste -s -d ,)
		six=$(printf '%s\n' $dns | grep : | paste -s -d ,)
		[ -z "$four" ] || echo "supersede domain-name-servers $four; # griddle" >>/etc/dhcp/dhclient.conf
		[ -z "$six" ] || echo "supersede dhcp6.name-servers $six; # griddle" >>/etc/dhcp/dhclient.conf
	fi
	{
		grep -v '^nameserver' /etc/resolv.conf 2>/dev/null
		printf 'nameserver %s\n' $dns
	} >/etc/resolv.conf.new && mv /etc/resolv.conf.new /etc/resolv.conf
}

environment() {
	{
		grep -vi '_proxy=' /etc/environment 2>/dev/null
		printf 'http_proxy=%s\nhttps_proxy=%s\nHTTP_PROXY=%s\nHTTPS_PROXY=%s\nno_proxy=%s\nNO_PROXY=%s\n' \
			"$proxy" "$proxy" "$proxy" "$proxy" "$no_proxy" "$no_proxy"
	} >/etc/environment.new && mv /etc/environment.new /etc/environment
}

# consoles are all that the kernel writes to; a container sees those of its host there.
consoles() {
	systemd-detect-virt --container --quiet && echo console || cat /sys/class/tty/console/active || echo console
}

report() {
	case $(cloud-init status 2>&1) in
	*done*) ;;
	*) printf 'cloud-init: %s\n' "$(cloud-init status --long 2>&1 | tr '\n' ' ' | cut -c 1-500)" >>$state/failed ;;
	esac
	said=done
	[ ! -s $state/failed ] || said=failed
	{ echo $said && cat $state/failed 2>/dev/null; } >$state/first-boot.new
	sync $state/first-boot.new && mv $state/first-boot.new $state/first-boot && sync $state
	for console in $(consoles); do
		{
			echo "griddle: first boot $said: $(hostname)"
			sed 's/^/griddle: /' $state/failed 2>/dev/null
		} >"/dev/$console"
	done
	[ $said = done ]
}

[ "${1-}" != report ] || { report; exit; }
step passwords
step firewall
step sshd
[ -z "$sudo" ] || step sudoers
[ -z "$ntp" ] || step time_servers
[ -z "$dns" ] || step name_servers
[ -z "$proxy" ] || step environment
echo "$volumes" | while read -r label mountpoint bytes; do
	[ -z "$label" ] || step disk "$label" "$mountpoint" "$bytes"
done
systemctl daemon-reload
systemctl start --no-block griddle-first-boot.service
