# Starts the program for the network of the tree at $ROOT and shows what it made of the settings:
#	network.sh cards PROGRAM    two cards, which udev names and the program configures
#	network.sh dhcp PROGRAM     addresses that two cards get from dnsmasq
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

make_cards() {
	chroot "$ROOT" systemd-machine-id-setup >/dev/null 2>&1
	for n in 0 1; do
		ip link add "eth$n" address "52:54:00:12:34:5$((6 + n))" type veth peer name "far$n"
		ip link set "far$n" up
		name=$(chroot "$ROOT" udevadm test-builtin net_setup_link "/sys/class/net/eth$n" 2>&1 |
			sed -n 's/^.*ID_NET_NAME=//p')
		echo "udev names a card ${name:-nothing}"
		[ ! -e "$ROOT/sys/class/net/eth$n" ] || ip link set "eth$n" name "$name"
	done
}

configured() {
	ip -4 route | grep -q ^default && ip -6 route | grep -q ^default &&
		ip -4 address show dev lan0 | grep -q 192.0.2.6/24 && ip link show dev lan1 | grep -q LOWER_UP
}

cards() {
	make_cards
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

# Addresses without the part that the server chooses.
leased() {
	ip -o address show | sed -n 's#^.* \(lan[01]\) *\(inet6*\) \(10.9.[01]\|fd0[01]:\).*#\1 \2 \3#p' | sort -u
}

dhcp() {
	make_cards
	for n in 0 1; do
		ip address add "10.9.$n.1/24" dev "far$n"
		ip address add "fd0$n::1/64" dev "far$n" nodad
	done
	dnsmasq --conf-file=/dev/null --pid-file= --port=0 --user=root --bind-dynamic --interface=far0 --interface=far1 \
		--enable-ra --dhcp-range=10.9.0.10,10.9.0.20 --dhcp-range=10.9.1.10,10.9.1.20 \
		--dhcp-range=fd00::100,fd00::200,64 --dhcp-range=fd01::100,fd01::200,64 --dhcp-leasefile="$ROOT/run/leases"
	start "$1"
	for i in $(seq 300); do
		[ "$(leased | wc -l)" -lt 3 ] || break
		sleep 0.1
	done
	[ "$i" -lt 300 ] || cat "$log"
	leased
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
dhcp) dhcp "$3" ;;
read)
	[ "$3" = ifupdown ] || start "$3"
	for i in $(seq 300); do
		[ "$("read_$3" | grep -c '^bond0$\|^lan0.7$')" -lt 2 ] || break
		sleep 0.1
	done
	"read_$3" | sort -u
	;;
esac
