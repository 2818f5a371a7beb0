# Has dracut make the initrd of each kernel, for any machine.
cat >"$root/etc/dracut.conf.d/griddle.conf" <<'X'
hostonly=no
add_dracutmodules+=" tpm2-tss "
X
mount -t proc proc "$root/proc"
for kernel in "$root"/lib/modules/*; do
	kernel=${kernel##*/}
	chroot "$root" dracut --force "/boot/initrd.img-$kernel" "$kernel"
done
umount "$root/proc"
rm -rf "$root"/var/tmp/*
