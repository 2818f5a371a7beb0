package newroot

import (
	"fmt"
	"strings"

	"griddle/initramfs/mounts"
	"griddle/initramfs/swapfile"
)

// fstab writes /etc/fstab. Of the image's own lines those stay that name no block device and none of our folders.
func (m *making) fstab() error {
	old, err := m.Read("etc/fstab")
	if err != nil {
		return err
	}
	lines := []string{"# Written by Griddle when this system was installed."}
	lines = append(lines, m.ownLines()...)
	for _, v := range [][2]string{{"/", Folder + "/" + m.Name}, {"/home", "@home"}, {"/persistent", "@persistent"}} {
		if m.Own != nil || m.isBeside(v[0]) || v[0] == mounts.Home && m.ownHome() {
			continue
		}
		// All three are one filesystem, which is there once the root is: a machine whose udev takes long to say so must
		// not end up in the emergency shell after a minute and a half (systemd.mount(5)).
		lines = append(lines,
			fmt.Sprintf("UUID=%s %s btrfs subvol=/%s,noatime,x-systemd.device-timeout=0 0 0", m.PoolID, v[0], v[1]))
	}
	if m.ESPID != "" {
		lines = append(lines,
			fmt.Sprintf("UUID=%s /boot/efi vfat umask=0077,nofail,x-systemd.device-timeout=10s 0 2", m.ESPID))
	}
	if m.hasSwap() {
		lines = append(lines, swapfile.Lines("UUID="+m.PoolID)...)
	}
	lines = append(lines, mounts.Lines(m.beside)...)
	for _, b := range m.beside {
		if b.Path != "" {
			if err := m.MakeDir(b.Path[1:], 0o755); err != nil {
				return err
			}
		}
	}
	for line := range strings.Lines(string(old)) {
		f := strings.Fields(line)
		if len(f) < 3 || strings.HasPrefix(f[0], "#") || strings.HasPrefix(f[0], "/dev/") ||
			strings.Contains(f[0], "=") || f[2] == "swap" ||
			f[1] == "/" || f[1] == "/home" || f[1] == "/persistent" || f[1] == "/boot/efi" ||
			m.hasSwap() && f[1] == swapfile.Mount || m.isBeside(f[1]) {
			continue
		}
		lines = append(lines, strings.Join(f, " "))
	}
	if err := m.crypttab(); err != nil {
		return err
	}
	if err := m.MakeDir("boot/efi", 0o700); err != nil {
		return err
	}
	return m.Write("etc/fstab", []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

func (m *making) isBeside(path string) bool {
	_, yes := mounts.At(m.beside, path)
	return yes
}
