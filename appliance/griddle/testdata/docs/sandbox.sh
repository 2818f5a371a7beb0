#!/bin/bash
# sandbox.sh DIR SCRIPT: runs SCRIPT on a computer of its own: what it writes goes to memory, over this computer's files, and its
# network has eth1 (10.92.0.1), with a cable to nowhere, unless NETWORK=host. DIR holds griddle (the program), boot (boot files) and template (a tree).
# It needs namespaces of its own (mount, net, pid), and all that it started ends with it. Whoever runs it, boot.example is an ssh server.
set -euo pipefail
dir=$1 script=$2
mount --make-rprivate /
over=$dir/over root=$dir/over/root
mkdir -p "$over"
mount -t tmpfs tmpfs "$over"
mkdir "$over"/{upper,work,root}
mount -t overlay overlay -o lowerdir=/,upperdir="$over/upper",workdir="$over/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/root"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/srv" # an overlay is several filesystems, which a publisher refuses to walk over
rm -rf "$root"/{var/lib/griddle,etc/griddle,usr/lib/griddle,usr/local/sbin/griddle,usr/src/griddle,etc/systemd/system/griddle.service}

mkdir -p "$root/usr/src/griddle/bin" "$root/usr/src/griddle/build"
cp "$dir/griddle" "$root/usr/src/griddle/bin/griddle"
cp -r "$dir/boot" "$root/usr/src/griddle/build/boot"
[[ ! -d $dir/template ]] || cp -a "$dir/template" "$root/srv/template"
cp "$script" "$root/run/script"

mkdir -p "$root/root/.ssh"
ssh-keygen -q -t ed25519 -N '' -f "$root/root/.ssh/id_ed25519"
if [[ ${NETWORK-} != host ]]; then
	ip link set lo up
	ip link add eth1 type veth peer name cable
	ip address add 10.92.0.1/24 dev eth1
	ip link set eth1 up
	ip link set cable up
	echo '10.92.0.1 boot.example' >>"$root/etc/hosts"
	mkdir -p "$root/run/sshd"
	sed -i 's/^root:[^:]*/root:*/' "$root/etc/shadow"
	ssh-keygen -q -t ed25519 -N '' -f "$root/run/host"
	cp "$root/root/.ssh/id_ed25519.pub" "$root/root/.ssh/authorized_keys"
	printf 'StrictHostKeyChecking no\nLogLevel ERROR\n' >"$root/root/.ssh/config"
	printf 'ListenAddress 10.92.0.1\nHostKey /run/host\nUsePAM no\nStrictModes no\n' >"$root/run/sshd_config"
	chroot "$root" /usr/sbin/sshd -f /run/sshd_config
fi

# No systemd runs here: this does what the unit says, as far as the documents need it.
cat >"$root/usr/local/bin/systemctl" <<'END'
#!/bin/bash
set -euo pipefail
verb=$1
unit=/etc/systemd/system/${!#}.service
pidfile=/run/${!#}.pid log=/run/${!#}.log
running() { [[ -f $pidfile ]] && kill -0 "$(<"$pidfile")" 2>/dev/null; }
stop() {
	running || return 0
	kill -TERM "$(<"$pidfile")"
	for _ in {1..600}; do running || return 0; sleep 0.1; done
	echo "${!#} does not end" >&2; exit 1
}
start() {
	running && return
	: >>"$log"
	before=$(grep -c '^griddle serves on' "$log" || true)
	cd /
	setsid $(sed -n 's/^ExecStart=//p' "$unit") >>"$log" 2>&1 & echo $! >"$pidfile"
	for _ in {1..600}; do
		[[ $(grep -c '^griddle serves on' "$log" || true) == "$before" ]] || return 0
		running || break
		sleep 0.1
	done
	cat "$log" >&2; exit 1
}
case $verb in
daemon-reload) ;;
enable) [[ -f $unit ]]; start ;;
start) start ;;
stop) stop ;;
restart) stop; start ;;
reload) running; MAINPID=$(<"$pidfile"); eval "$(sed -n 's/^ExecReload=//p' "$unit")"; sleep 1; running ;;
is-active) running && echo active ;;
*) echo "systemctl $verb is not in the sandbox" >&2; exit 1 ;;
esac
END
cat >"$root/usr/local/bin/journalctl" <<'END'
#!/bin/bash
set -euo pipefail
pattern=.
while (($#)); do
	case $1 in
	-u) unit=$2; shift ;;
	-n) lines=$2; shift ;;
	--grep) pattern=$2; shift ;;
	esac
	shift
done
grep -E "$pattern" "/run/$unit.log" | tail -n "$lines"
END
chmod 755 "$root"/usr/local/bin/{systemctl,journalctl}

exec chroot "$root" env -i HOME=/root TMPDIR=/tmp LC_ALL=C.UTF-8 TERM=dumb \
	PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin bash /run/script
