#!/bin/bash
# Runs the OpenStack of a root as process 1 of namespaces of its own: up.sh ROOT OVERLAY LOGS. OVERLAY is a directory that takes
# what is written; where it is "-", that goes into the root, the databases are made and everything is registered first. "READY"
# on standard output says that all answers; the end of standard input ends it, and the kernel ends what is left with process 1.
set -euo pipefail
root=$1 overlay=$2 logs=$3
mkdir -p "$logs"
first=0
if [[ $overlay == - ]]; then
	first=1
	mount --bind "$root" "$root"
else
	mkdir -p "$overlay/upper" "$overlay/work" "$overlay/root"
	mount -t overlay overlay -o "lowerdir=$root,upperdir=$overlay/upper,workdir=$overlay/work" "$overlay/root"
	root=$overlay/root
fi
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t sysfs sys "$root/sys"
mount -t tmpfs tmp "$root/run"
mkdir -p "$root/run/mysqld" "$root/run/lock" && chroot "$root" chown mysql /run/mysqld
hostname localhost
ip link set lo up
# The kernel needs no dummy module for a pair.
ip link add veth0 type veth peer name veth1
ip link set veth0 up
ip link set veth1 up

export LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin

# run NAME USER COMMAND… starts a service.
run() {
	local name=$1 user=$2
	shift 2
	chroot --userspec="$user" "$root" env HOME=/tmp "$@" </dev/null >"$logs/$name.log" 2>&1 &
}
# as USER COMMAND… runs a command to its end.
as() {
	local user=$1
	shift
	chroot "$root" su -s /bin/sh "$user" -c "$*"
}
# port N waits for a listener, for at most ten minutes on a busy machine.
port() {
	for _ in $(seq 3000); do
		if (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
		sleep 0.2
	done
	echo "nothing listens on port $1" >&2
	exit 1
}
# wsgi NAME PORT FILE serves an application. Without the two last options uwsgi resets connections that are kept open.
wsgi() {
	run "$1" "$1:$1" uwsgi_python3 --http-socket "127.0.0.1:$2" --processes 2 --threads 4 --lazy-apps --enable-threads --wsgi-file "$3" \
		--die-on-term --buffer-size 65535 --master --post-buffering 4096 --add-header Connection:close
}

run mariadb mysql:mysql mariadbd --bind-address=127.0.0.1 --skip-log-bin --innodb-flush-log-at-trx-commit=0 --max-connections=300
run rabbit rabbitmq:rabbitmq env HOME=/var/lib/rabbitmq RABBITMQ_NODENAME=rabbit@localhost RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 \
	ERL_EPMD_ADDRESS=127.0.0.1 /usr/lib/rabbitmq/bin/rabbitmq-server
port 3306
if [[ $first == 1 ]]; then
	for d in keystone glance placement nova nova_api nova_cell0 neutron; do
		echo "create database $d; grant all on $d.* to 'os'@'127.0.0.1' identified by 'os'; grant all on $d.* to 'os'@'localhost' identified by 'os';"
	done | chroot "$root" mariadb
	as keystone keystone-manage db_sync >"$logs/sync-keystone.log" 2>&1
	chroot "$root" keystone-manage fernet_setup --keystone-user keystone --keystone-group keystone
	chroot "$root" keystone-manage credential_setup --keystone-user keystone --keystone-group keystone
	at=http://127.0.0.1:5000/v3/
	chroot "$root" keystone-manage bootstrap --bootstrap-password os --bootstrap-admin-url $at --bootstrap-internal-url $at \
		--bootstrap-public-url $at --bootstrap-region-id RegionOne >"$logs/bootstrap.log" 2>&1
	as glance glance-manage db_sync >"$logs/sync-glance.log" 2>&1
	as placement placement-manage db sync >"$logs/sync-placement.log" 2>&1
	as neutron neutron-db-manage --config-file /etc/neutron/neutron.conf --config-file /etc/neutron/plugins/ml2/ml2_conf.ini \
		upgrade head >"$logs/sync-neutron.log" 2>&1
	{
		as nova nova-manage api_db sync
		as nova "nova-manage cell_v2 map_cell0 --database_connection 'mysql+pymysql://os:os@127.0.0.1/nova_cell0?charset=utf8'"
		as nova nova-manage db sync
		as nova nova-manage cell_v2 create_cell --name cell1
	} >"$logs/sync-nova.log" 2>&1
fi

wsgi keystone 5000 /usr/bin/keystone-wsgi-public
port 5000
export OS_AUTH_URL=http://127.0.0.1:5000/v3 OS_USERNAME=admin OS_PASSWORD=os OS_PROJECT_NAME=admin OS_USER_DOMAIN_NAME=Default \
	OS_PROJECT_DOMAIN_NAME=Default OS_REGION_NAME=RegionOne OS_IDENTITY_API_VERSION=3
if [[ $first == 1 ]]; then
	# One client for all: each start of it takes seconds.
	{
		echo "project create --domain default service"
		for s in glance:image:9292: nova:compute:8774:/v2.1 placement:placement:8778: neutron:network:9696:; do
			IFS=: read -r name kind port path <<<"$s"
			echo "user create --domain default --password os $name"
			echo "role add --project service --user $name admin"
			echo "service create --name $name $kind"
			echo "endpoint create --region RegionOne $kind public http://127.0.0.1:$port$path"
			echo "endpoint create --region RegionOne $kind internal http://127.0.0.1:$port$path"
		done
	} | chroot "$root" openstack >"$logs/register.log" 2>&1
fi
wsgi placement 8778 /usr/bin/placement-api
run glance glance:glance glance-api
run neutron neutron:neutron neutron-server --config-file /etc/neutron/neutron.conf --config-file /etc/neutron/plugins/ml2/ml2_conf.ini
port 5672
run nova-conductor nova:nova nova-conductor
run nova-scheduler nova:nova nova-scheduler
run nova-api nova:nova nova-api
for p in 9292 8778 8774 9696; do port $p; done
run nova-compute nova:nova nova-compute
run linuxbridge root:root neutron-linuxbridge-agent --config-file /etc/neutron/neutron.conf --config-file /etc/neutron/plugins/ml2/linuxbridge_agent.ini
if [[ $first == 1 ]]; then
	for _ in $(seq 60); do
		as nova nova-manage cell_v2 discover_hosts --verbose >"$logs/discover.log" 2>&1
		if grep -q 'Creating host mapping' "$logs/discover.log"; then break; fi
		sleep 2
	done
	{
		echo "flavor create --ram 512 --disk 1 --vcpus 1 m1.tiny"
		echo "flavor create --ram 2048 --disk 20 --vcpus 2 m1.small"
		echo "network create --external --provider-network-type flat --provider-physical-network physnet1 public"
		echo "subnet create --network public --no-dhcp --subnet-range 203.0.113.0/24 public4"
		echo "quota set --secgroups 100 --routers 50 --instances 50 --cores 100 admin"
	} | chroot "$root" openstack >"$logs/flavors.log" 2>&1
fi
# Nova answers 500 to a list of servers until neutron was asked for its networks; and agents need a while to be known.
ready=0
for _ in $(seq 300); do
	state=$(printf 'network list -f value -c Name\nnetwork agent list -f value -c Alive\ncompute service list -f value -c Binary -c State\n' |
		chroot "$root" openstack 2>&1 || true)
	printf '%s\n' "$state" >"$logs/state.log"
	if grep -q public <<<"$state" && grep -q True <<<"$state" && grep -q 'nova-compute up' <<<"$state"; then
		echo READY
		ready=1
		break
	fi
	sleep 1
done
if [[ $ready == 0 ]]; then
	cat "$logs/state.log" >&2
	exit 1
fi

cat >/dev/null # until standard input ends
if [[ $first == 1 ]]; then
	chroot "$root" mariadb-admin shutdown
	# The root's /proc has the processes of this namespace alone.
	while chroot "$root" pgrep -x mariadbd >/dev/null; do sleep 0.2; done
fi
