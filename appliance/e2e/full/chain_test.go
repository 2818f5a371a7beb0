//go:build e2e

package full

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/e2etest"
	"griddle/initramfs/pool/pooltest"
)

// otherSays is the line that the other loader of a disk prints: the program in its boot record for a BIOS, and the one
// in place of that of Windows for UEFI.
const otherSays = "This is the loader that this disk had before"

// bootRecord is a program for the first 440 bytes of a disk, which writes a line to the first serial port and halts.
func bootRecord(line string) []byte {
	code := []byte{
		0xfa,       //       cli
		0x31, 0xc0, //       xor ax, ax
		0x8e, 0xd8, //       mov ds, ax
		0xfc,             // cld
		0xbe, 0x23, 0x7c, // mov si, 0x7c23: the line
		0xac,       // next: lodsb
		0x84, 0xc0, //       test al, al
		0x74, 0x12, //       jz halt
		0x88, 0xc4, //       mov ah, al
		0xba, 0xfd, 0x03, // mov dx, 0x3fd: the state of the port
		0xec,       // wait: in al, dx
		0xa8, 0x20, //       test al, 0x20: it can take a byte
		0x74, 0xfb, //       jz wait
		0x88, 0xe0, //       mov al, ah
		0xba, 0xf8, 0x03, // mov dx, 0x3f8
		0xee,       //       out dx, al
		0xeb, 0xe9, //       jmp next
		0xf4,       // halt: hlt
		0xeb, 0xfd, //       jmp halt
	}
	return append(code, "\r\n"+line+"\r\n\x00"...)
}

// plantLoader gives a disk with an MBR or a GPT another loader, as a Windows has: a boot record, or the program that
// its boot entry names with the copy of it for firmware without boot entries.
func plantLoader(t *testing.T, f e2e.Firmware, disk, esp string) {
	t.Helper()
	dir := t.TempDir()
	if f == e2e.BIOS {
		out, err := os.OpenFile(disk, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		if _, err := out.WriteAt(bootRecord(otherSays), 0); err != nil {
			t.Fatal(err)
		}
		return
	}
	conf, program := filepath.Join(dir, "early.cfg"), filepath.Join(dir, "program.efi")
	if err := os.WriteFile(conf, []byte("echo\necho \""+otherSays+"\"\nsleep 600\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pooltest.Tool(t, "grub-mkimage", "-O", "x86_64-efi", "-o", program, "-c", conf, "-p", "/x", "echo", "sleep")
	for _, folder := range []string{"::EFI", "::EFI/Microsoft", "::EFI/Microsoft/Boot", "::EFI/Boot"} {
		pooltest.Tool(t, "mmd", "-i", esp, folder)
	}
	pooltest.Tool(t, "mcopy", "-i", esp, program, "::EFI/Microsoft/Boot/bootmgfw.efi")
	pooltest.Tool(t, "mcopy", "-i", esp, program, "::EFI/Boot/bootx64.efi")
}

// startsOther switches the machine on, and chooses the last line of GRUB's menu, which is the other system.
func startsOther(ctx context.Context, t *testing.T, m *e2e.Machine) {
	t.Helper()
	title := `Windows`
	if m.Firmware == e2e.BIOS {
		title = `What this disk started before`
	}
	on(ctx, t, m)
	if _, err := m.Console().WaitScreen(ctx, title); err != nil {
		t.Fatal(err)
	}
	e2etest.Press(t, m, strings.Repeat(e2e.KeyDown, 9))
	if _, err := m.Console().WaitScreen(ctx, `\*`+title); err != nil {
		t.Fatal(err)
	}
	e2etest.Press(t, m, e2e.KeyEnter)
	if _, err := m.Console().Wait(ctx, otherSays); err != nil {
		t.Fatal(err)
	}
	m.PowerCut()
}

// givesBack starts what was installed, has it give the machine back to what it started by before, and starts that.
func givesBack(ctx context.Context, t *testing.T, m *e2e.Machine) {
	t.Helper()
	on(ctx, t, m)
	if _, err := m.WaitLogin(ctx); err != nil {
		t.Fatal(err)
	}
	if err := m.Login(ctx); err != nil {
		t.Fatal(err)
	}
	said := e2etest.Shell(m.Run).Ask(ctx, t, "griddle-agent recover former-loader --yes; sync")
	if !strings.Contains(said, "The machine starts by what it had before Griddle") {
		t.Errorf("recover former-loader said:\n%s", said)
	}
	m.PowerCut()
	on(ctx, t, m)
	if _, err := m.Console().Wait(ctx, otherSays); err != nil {
		t.Fatal(err)
	}
	if m.Console().Count(`What this disk started before|Earlier systems`) > 0 {
		t.Errorf("%s still starts GRUB", m.Name)
	}
	m.PowerCut()
}
