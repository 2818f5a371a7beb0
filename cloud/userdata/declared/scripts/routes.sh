#!/bin/sh
# Adds the routes of routes.conf: INTERFACE TO VIA METRIC, of which 0 is the kernel's. A route to the same network by the
# same router whose metric is another one is what cloud-init made of it, and goes.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
bad=0
while read -r interface to via metric; do
	family=-4
	case $to in *:*) family=-6 ;; esac
	if [ "$metric" != 0 ]; then
		for made in boot static; do
			while ip $family route del "$to" via "$via" dev "$interface" proto $made 2>/dev/null; do :; done
		done
		set -- metric "$metric"
	else
		set --
	fi
	ip $family route replace "$to" via "$via" dev "$interface" "$@" || bad=1
done </usr/local/lib/griddle/routes.conf
exit $bad
