#!/bin/sh
# Says on the serial line what this start found: one line, POWERCUT and, in base64 and by gzip, lines of names and values.
# The first start of a machine makes the data that no power cut may change.
make_data() {
	i=0
	while [ $i -lt 60 ]; do
		mkdir -p "$1/$((i % 6))"
		head -c $((i * 997)) /dev/urandom >"$1/$((i % 6))/$i"
		i=$((i + 1))
	done
	head -c 3000000 /dev/urandom >"$1/large"
	ln -s large "$1/link"
	chown -R 1000:1000 "$1"
	chmod 600 "$1/large"
}
if [ ! -e /persistent/work ]; then
	make_data /home/ada
	make_data /persistent/new
	mv /persistent/new /persistent/work
	sync
fi
tree() { tar --sort=name --numeric-owner --exclude=./griddle -C "$1" -cf - . | sha256sum | cut -d' ' -f1; }
file() { [ ! -e "$2" ] || echo "$1 $(base64 -w0 "$2")"; }
mkdir -p /run/powercut/esp /run/powercut/pool
mount /dev/vda2 /run/powercut/esp
mount -o subvolid=5,noatime /dev/vda3 /run/powercut/pool
{
	echo "root $(findmnt -no FSROOT /)"
	echo "boot $(cat /proc/sys/kernel/random/boot_id)"
	echo "uptime $(cut -d' ' -f1 /proc/uptime)"
	echo "home $(tree /home)"
	echo "persistent $(tree /persistent)"
	echo "identity $(cat /etc/hostname /etc/machine-id /etc/ssh/ssh_host_*_key /etc/shadow | sha256sum | cut -d' ' -f1)"
	echo "release $(cat /usr/lib/powercut-release)"
	echo "failed $(systemctl --failed --plain --no-legend | cut -d' ' -f1 | tr '\n' ' ')"
	echo "roots $(ls /run/powercut/pool/@roots | tr '\n' ' ')"
	echo "images $(ls /run/powercut/pool/@images | tr '\n' ' ')"
	file grubenv /run/powercut/esp/griddle/grubenv
	file grubenv2 /run/powercut/esp/griddle/grubenv2
	for f in history.jsonl order.json update.json reported.json kexec.json trial.json; do file "$f" /persistent/griddle/"$f"; done
	echo end
} >/run/powercut/said
umount /run/powercut/esp /run/powercut/pool
echo "POWERCUT $(gzip -9 </run/powercut/said | base64 -w0) ." >/dev/ttyS0
