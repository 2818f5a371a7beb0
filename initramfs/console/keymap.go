package console

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"griddle/appliance/site"
)

// From include/uapi/linux/kd.h and keyboard.h.
const (
	kdSetKeyboardMode = 0x4b45 // KDSKBMODE
	kdSetKeyEntry     = 0x4b47 // KDSKBENT
	keyboardUnicode   = 3      // K_UNICODE
	noSuchMap         = 0x027e // K_NOSUCHMAP: as the value of key 0 it takes a whole table away
)

// keyEntry is struct kbentry.
type keyEntry struct {
	table, key uint8
	value      uint16
}

// LoadKeymap gives the kernel the site's keymap, if there is one. Without it the keyboard stays what it was. file is in
// the format of site.ParseKeymap, and terminal a virtual terminal.
func LoadKeymap(file, terminal string) error {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the keymap: %w", err)
	}
	tables, err := site.ParseKeymap(b)
	if err != nil {
		return err
	}
	tty, err := os.OpenFile(terminal, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return fmt.Errorf("loading the keymap: %w", err)
	}
	defer tty.Close()
	control(tty, func(fd int) { err = setKeymap(fd, tables) })
	return err
}

// setKeymap fills the kernel's tables, which all virtual consoles share, and takes those away that the keymap lacks:
// they would still be of the old keyboard. The kernel takes values outside Latin-1 only in Unicode mode. A single value
// that it refuses leaves that key as it was.
func setKeymap(fd int, tables []site.KeymapTable) error {
	if err := unix.IoctlSetInt(fd, kdSetKeyboardMode, keyboardUnicode); err != nil {
		return fmt.Errorf("setting the keyboard to Unicode: %w", err)
	}
	set := func(e keyEntry) error {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), kdSetKeyEntry, uintptr(unsafe.Pointer(&e)))
		if errno != 0 {
			return errno
		}
		return nil
	}
	has := map[uint8]bool{}
	refused, total := 0, 0
	var last error
	for _, t := range tables {
		has[t.Modifiers] = true
		for key, value := range t.Keys {
			total++
			if err := set(keyEntry{t.Modifiers, uint8(key), value}); err != nil {
				refused, last = refused+1, err
			}
		}
	}
	for m := 1; m < 256; m++ {
		if !has[uint8(m)] {
			_ = set(keyEntry{uint8(m), 0, noSuchMap}) // most are not there anyway
		}
	}
	if refused > 0 {
		return fmt.Errorf("loading the keymap: the kernel refused %d of %d keys: %w", refused, total, last)
	}
	return nil
}
