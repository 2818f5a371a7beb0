# Starts the program for the network of the tree at $ROOT and shows what it made of the settings:
#	network.sh cards PROGRAM    two cards, which udev names and the program configures
#	network.sh read PROGRAM     the interfaces of which it has a configuration, and its complaints
log=$ROOT/run/log

start() {
	case $1 in
	networkd)
		mkdir -p "$ROOT/run/systemd/netif/links" "$ROOT/run/systemd/netif/leases"
		chroot "$ROOT" chown -R systemd-network /run/systemd/netif
		SYSTEMD_LOG_TARGET=console SYSTEMD_LOG_LEVEL=debug chroot "$ROOT" /lib/systemd/systemd-networkd >"$log" 2>&1 &
		;;
	NetworkManager)
		chroot "$ROOT" dbus-daemon --system --fork --nopidfile
		chroot "$ROOT" NetworkManager --no-daemon >"$log" 2>&1 &
		;;
	ifupdown) chroot "$ROOT" ifup -a >"$log" 2>&1 || cat "$log" ;;
	esac
}

configured() {
	ip -4 route | grep -q ^default && ip -6 route | grep -q ^default &&
		ip -4 address show dev lan0 | grep -q 192.0.2.6/24 && ip link show dev lan1 | grep -q LOWER_UP
}

cards() {
	for n in 0 1; do
		ip link add "eth$n" address "52:54:00:12:34:5$((6 + n))" type veth peer name "far$n"
		ip link set "far$n" up
		name=$(chroot "$ROOT" udevadm test-builtin net_setup_link "/sys/class/net/eth$n" 2>&1 |
			sed -n 's/^.*ID_NET_NAME=//p')
		echo "udev names a card ${name:-nothing}"
		[ ! -e "$ROOT/sys/class/net/eth$n" ] || ip link set "eth$n" name "$name"
	done
	start "$1"
	for i in $(seq 300); do
		configured && break
		sleep 0.1
	done
	configured || cat "$log"
	ip -o address show dev lan0 | grep -v 'inet6 fe80' | awk '{print $3, $4}'
	ip -o link show dev lan0 | grep -o 'mtu [0-9]*'
	{ ip -4 route; ip -6 route; } | grep via | sed 's/proto [a-z]* //; s/ pref medium//; s/ *$//; /^default/s/ metric .*//'
	ip -o link show dev lan1 | grep -q LOWER_UP && echo lan1 is up
}

read_networkd() { # Debian 12 writes the first form, Debian 13 the second
	sed -n 's/^\([a-z0-9.]*\): loaded .*/\1/p; s#^/etc/systemd/network/00-griddle-\(.*\)\.netdev: Success.*#\1#p' "$log"
	grep -i '/etc/systemd/network/.*\(unknown\|invalid\|ignoring\|failed\)' "$log" || :
}

read_NetworkManager() {
	chroot "$ROOT" nmcli -t -f NAME connection show 2>/dev/null | sed -n 's/^griddle-//p' | grep -v 'lan[01]$'
	grep -i 'griddle.*\(invalid\|ignoring\|failed\|cannot\)' "$log" || :
}

read_ifupdown() {
	chroot "$ROOT" ifquery --list | grep -v 'lo$\|lan[01]$'
	chroot "$ROOT" ifup -a --no-act 2>&1 | grep '^echo\|^ifup:' || :
}

case $2 in
cards) cards "$3" ;;
read)
	[ "$3" = ifupdown ] || start "$3"
	for i in $(seq 300); do
		[ "$("read_$3" | grep -c '^bond0$\|^lan0.7$')" -lt 2 ] || break
		sleep 0.1
	done
	"read_$3" | sort -u
	;;
esac
