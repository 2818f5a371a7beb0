package kernel

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
)

// bootScript is /init: it loads the modules, waits for the root and hands over to it. A driver without its device is no
// error. Uncompressed modules are loaded in order by insmod, so that no table is needed.
const bootScript = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for m in $(cat /modules); do insmod "$m" 2>/dev/null; done
root= flags= init=/sbin/init fstype=@FS@
for a in $(cat /proc/cmdline); do
	case $a in
	root=*) root=${a#root=} ;;
	rootflags=*) flags=${a#rootflags=} ;;
	rootfstype=*) fstype=${a#rootfstype=} ;;
	init=*) init=${a#init=} ;;
	esac
done
n=0
while :; do
	case $root in
	UUID=* | LABEL=*) dev=$(findfs "$root" 2>/dev/null) ;;
	*) dev=$root ;;
	esac
	[ -b "$dev" ] && break
	n=$((n + 1))
	if [ $n -ge 600 ]; then
		echo "griddle: no disk has the root $root; these are there:"
		cat /proc/partitions
		exec sh
	fi
	usleep 100000
done
mount -t "$fstype" -o "rw${flags:+,$flags}" "$dev" /root || { echo "griddle: cannot mount $dev"; exec sh; }
mount -o move /dev /root/dev
umount /sys
umount /proc
exec switch_root /root "$init"
`

// initrd is the small archive that finds the root: busybox, the drivers and bootScript. The same parts give the
// same bytes.
func (u *Opened) initrd(root string) ([]byte, error) {
	dep, err := readBounded(filepath.Join(u.modules, "modules.dep"), maxKernel)
	if err != nil {
		return nil, fmt.Errorf("making the initrd: %w", err)
	}
	records := []cpio.Record{
		cpio.Directory("bin", 0o755), cpio.Directory("dev", 0o755), cpio.Directory("proc", 0o555),
		cpio.Directory("sys", 0o555), cpio.Directory("root", 0o755), cpio.Directory("lib", 0o755),
		cpio.CharDev("dev/console", 0o600, 5, 1),
		cpio.StaticFile("bin/busybox", string(u.busybox), 0o755),
		cpio.StaticFile("init", strings.Replace(bootScript, "@FS@", root, 1), 0o755),
	}
	var list strings.Builder
	for _, m := range chosen(string(dep), drivers(root)) {
		if !strings.HasSuffix(m, ".ko") {
			return nil, fmt.Errorf("making the initrd: module %s is compressed, which busybox cannot load", m)
		}
		b, err := readBounded(filepath.Join(u.modules, filepath.Clean("/"+m)), maxKernel)
		if err != nil {
			return nil, fmt.Errorf("making the initrd: %w", err)
		}
		name := "lib/" + path.Base(m)
		records = append(records, cpio.StaticFile(name, string(b), 0o644))
		fmt.Fprintf(&list, "/%s\n", name)
	}
	records = append(records, cpio.StaticFile("modules", list.String(), 0o644))
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := cpio.Newc.Writer(z)
	for i, r := range records {
		r.Ino, r.MTime = uint64(i+1), 0
		if err := w.WriteRecord(cpio.MakeReproducible(r)); err != nil {
			return nil, fmt.Errorf("making the initrd: %w", err)
		}
	}
	if err := cpio.WriteTrailer(w); err != nil {
		return nil, fmt.Errorf("making the initrd: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("making the initrd: %w", err)
	}
	return out.Bytes(), nil
}
