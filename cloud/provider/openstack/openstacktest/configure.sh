#!/bin/bash
# Configures the OpenStack in a root that root.sh made: configure.sh ROOT. Every service listens on 127.0.0.1 of a network
# namespace of its own, without TLS and with well-known passwords: it is for tests alone.
set -euo pipefail
T=$1
db(){ echo "mysql+pymysql://os:os@127.0.0.1/$1?charset=utf8"; }
auth(){ cat <<E
[keystone_authtoken]
www_authenticate_uri = http://127.0.0.1:5000
auth_url = http://127.0.0.1:5000
auth_type = password
project_domain_name = Default
user_domain_name = Default
project_name = service
username = $1
password = os
E
}
svc(){ cat <<E
[$1]
auth_url = http://127.0.0.1:5000
auth_type = password
project_domain_name = Default
user_domain_name = Default
region_name = RegionOne
project_name = service
username = $2
password = os
E
}
RMQ=rabbit://guest:guest@127.0.0.1:5672/
cat > $T/etc/keystone/keystone.conf <<E
[DEFAULT]
log_file = /var/log/keystone/keystone.log
[database]
connection = $(db keystone)
[token]
provider = fernet
[cache]
enabled = true
backend = dogpile.cache.memory
E
cat > $T/etc/glance/glance-api.conf <<E
[DEFAULT]
bind_host = 127.0.0.1
workers = 1
enabled_backends = fs:file
[database]
connection = $(db glance)
[glance_store]
default_backend = fs
[fs]
filesystem_store_datadir = /var/lib/glance/images
[paste_deploy]
flavor = keystone
$(auth glance)
E
cat > $T/etc/placement/placement.conf <<E
[placement_database]
connection = $(db placement)
[api]
auth_strategy = keystone
$(auth placement)
E
cat > $T/etc/nova/nova.conf <<E
[DEFAULT]
my_ip = 127.0.0.1
host = localhost
state_path = /var/lib/nova
transport_url = $RMQ
enabled_apis = osapi_compute
osapi_compute_listen = 127.0.0.1
osapi_compute_workers = 1
metadata_workers = 1
compute_driver = fake.FakeDriver
log_dir = /var/log/nova
vif_plugging_is_fatal = false
vif_plugging_timeout = 0
[api]
auth_strategy = keystone
[api_database]
connection = $(db nova_api)
[database]
connection = $(db nova)
[conductor]
workers = 1
[scheduler]
workers = 1
[glance]
api_servers = http://127.0.0.1:9292
[oslo_concurrency]
lock_path = /var/lib/nova/tmp
[vnc]
enabled = false
$(auth nova)
$(svc placement placement)
$(svc neutron neutron)
$(svc service_user nova)
send_service_user_token = true
[cache]
enabled = true
backend = dogpile.cache.memory
E
rm -f $T/etc/nova/nova-compute.conf
cat > $T/etc/neutron/neutron.conf <<E
[DEFAULT]
bind_host = 127.0.0.1
core_plugin = ml2
service_plugins = router
transport_url = $RMQ
auth_strategy = keystone
notify_nova_on_port_status_changes = true
notify_nova_on_port_data_changes = true
api_workers = 1
rpc_workers = 1
host = localhost
[agent]
root_helper = sudo
[database]
connection = $(db neutron)
[oslo_concurrency]
lock_path = /var/lib/neutron/tmp
[experimental]
linuxbridge = true
$(auth neutron)
$(svc nova nova)
E
mkdir -p $T/etc/neutron/plugins/ml2
cat > $T/etc/neutron/plugins/ml2/ml2_conf.ini <<E
[ml2]
type_drivers = flat,local
tenant_network_types = local
mechanism_drivers = linuxbridge
extension_drivers =
[ml2_type_flat]
flat_networks = *
[securitygroup]
enable_security_group = true
firewall_driver = neutron.agent.firewall.NoopFirewallDriver
E
cat > $T/etc/neutron/plugins/ml2/linuxbridge_agent.ini <<E
[linux_bridge]
physical_interface_mappings = physnet1:veth0
[vxlan]
enable_vxlan = false
[securitygroup]
enable_security_group = false
firewall_driver = neutron.agent.firewall.NoopFirewallDriver
E
echo "127.0.0.1 localhost" > $T/etc/hosts; echo localhost > $T/etc/hostname
mkdir -p $T/run/mysqld $T/var/log/keystone $T/var/lib/nova/tmp $T/var/lib/neutron/tmp $T/var/lib/nova/instances $T/var/lib/glance/images
chroot $T chown mysql /run/mysqld; chroot $T chown -R nova /var/lib/nova; chroot $T chown -R glance /var/lib/glance; chroot $T chown -R neutron /var/lib/neutron
