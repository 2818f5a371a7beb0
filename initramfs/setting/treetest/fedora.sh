#!/bin/bash
# Gives the tree of a Debian 12 the shape of a Fedora: fedora.sh DIR. Names, places and contents of the files that
# settings change are those of Fedora's packages setup, openssh-server, sudo, chrony, nftables, selinux-policy, dnf and
# ca-certificates. The programs are Debian's, and update-ca-trust only joins the certificates.
set -euo pipefail
cd "$1"

rm -rf etc/apt etc/network etc/console-setup etc/debian_version etc/timezone etc/locale.gen \
	etc/default/{locale,keyboard} etc/chrony usr/{,s}bin/{ifup,locale-gen,update-ca-certificates} \
	etc/systemd/system/*.wants/{networking,ssh,chrony,keyboard-setup,console-setup}.service \
	etc/systemd/system/{sshd,chronyd}.service etc/ssh/sshd_config.d
cat >etc/os-release <<'F'
NAME="Fedora Linux"
ID=fedora
VERSION_ID=42
F
chroot . groupadd --gid 10 --non-unique wheel # Debian has uucp there
chmod 0000 etc/shadow etc/gshadow
cat >etc/hosts <<'F'
127.0.0.1   localhost localhost.localdomain localhost4 localhost4.localdomain4
::1         localhost localhost.localdomain localhost6 localhost6.localdomain6
F
echo 'LANG="en_US.UTF-8"' >etc/locale.conf
printf 'KEYMAP="us"\nFONT="eurlatgr"\n' >etc/vconsole.conf
chroot . localedef --no-archive -i de_DE -f UTF-8 /usr/lib/locale/de_DE.utf8

cat >etc/sudoers <<'F'
Defaults   !visiblepw
Defaults    always_set_home
Defaults    env_reset
Defaults    secure_path = /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin
root	ALL=(ALL) 	ALL
%wheel	ALL=(ALL)	ALL
## Read drop-in files from /etc/sudoers.d (the # here does not mean a comment)
#includedir /etc/sudoers.d
F
chmod 0440 etc/sudoers

install -d -m 0700 etc/ssh/sshd_config.d
cat >etc/ssh/sshd_config <<'F'
#	$OpenBSD: sshd_config,v 1.104 2021/07/02 05:11:21 dtucker Exp $

# To modify the system-wide sshd configuration, create a  *.conf  file under
#  /etc/ssh/sshd_config.d/  which will be automatically included below
Include /etc/ssh/sshd_config.d/*.conf

#Port 22
AuthorizedKeysFile	.ssh/authorized_keys
Subsystem	sftp	/usr/lib/openssh/sftp-server
F
cat >etc/ssh/sshd_config.d/50-redhat.conf <<'F'
SyslogFacility AUTHPRIV
KbdInteractiveAuthentication no
GSSAPIAuthentication yes
UsePAM yes
X11Forwarding yes
PrintMotd no
F
chmod 0600 etc/ssh/sshd_config etc/ssh/sshd_config.d/*

mv usr/lib/systemd/system/ssh.service usr/lib/systemd/system/sshd.service
mv usr/lib/systemd/system/ssh.socket usr/lib/systemd/system/sshd.socket
mv usr/lib/systemd/system/chrony.service usr/lib/systemd/system/chronyd.service
sed -i '/^Alias=/d' usr/lib/systemd/system/{sshd,chronyd}.service
chroot . systemctl -q enable sshd.service chronyd.service
cat >etc/chrony.conf <<'F'
# Use public servers from the pool.ntp.org project.
pool 2.fedora.pool.ntp.org iburst
sourcedir /run/chrony-dhcp
driftfile /var/lib/chrony/drift
makestep 1.0 3
rtcsync
keyfile /etc/chrony.keys
ntsdumpdir /var/lib/chrony
logdir /var/log/chrony
F

install -d -m 0700 etc/sysconfig
cat >etc/sysconfig/nftables.conf <<'F'
# Uncomment the include statement here to load the default config sample
# in /etc/nftables for nftables service.
#include "/etc/nftables/main.nft"
F
rm etc/nftables.conf
sed -i 's|^ExecStart=.*|ExecStart=/sbin/nft '\''flush ruleset; include "/etc/sysconfig/nftables.conf";'\''|' \
	usr/lib/systemd/system/nftables.service

install -d etc/selinux etc/dnf etc/pki/ca-trust/{source/anchors,extracted/pem}
printf 'SELINUX=enforcing\nSELINUXTYPE=targeted\n' >etc/selinux/config
printf '[main]\ngpgcheck=True\ninstallonly_limit=3\nclean_requirements_on_remove=True\nbest=False\n' >etc/dnf/dnf.conf
cat >usr/bin/update-ca-trust <<'F'
#!/bin/sh
cat /etc/pki/ca-trust/source/anchors/* >/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem
F
chmod 0755 usr/bin/update-ca-trust
rpm --root "$PWD" --initdb
