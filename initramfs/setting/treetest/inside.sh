# In namespaces of its own, prepares the tree at $ROOT for programs, and runs a script of the shell: inside.sh SCRIPT.
set -eu
mount -t sysfs -o ro sysfs "$ROOT/sys"
mount -t tmpfs -o mode=755 tmpfs "$ROOT/run"
mount --rbind /dev "$ROOT/dev"
mkdir -p "$ROOT/run/sshd" "$ROOT/run/dbus"
ip link set lo up
eval "$1"
