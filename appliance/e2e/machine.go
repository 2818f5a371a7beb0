package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"griddle/appliance/e2e/machinetest"
)

// Firmware is how a machine starts.
type Firmware string

// The firmwares.
const (
	BIOS Firmware = "bios" // SeaBIOS, with iPXE as the network card's ROM
	UEFI Firmware = "uefi" // OVMF, with EDK2's own network boot
)

// Bus is how a disk is attached.
type Bus string

// The buses. Debian's cloud kernel, which the template has, drives all of them but SATA: an install onto such a disk
// ends well, and what was installed does not find it.
const (
	Virtio Bus = "virtio"
	NVMe   Bus = "nvme"
	SCSI   Bus = "scsi"
	SATA   Bus = "sata"
)

// Disk is a machine's disk: a file of the room.
type Disk struct {
	File   string
	Bus    Bus // "" means Virtio
	Serial string
	Format string // as QEMU calls it; "" means "raw"
}

// Hardware describes a machine. The zero values of NIC and Memory mean virtio and 1024 MiB.
type Hardware struct {
	Name     string // of its logs; unique in the room
	Firmware Firmware
	Disks    []Disk // the first one is the second in the boot order, behind the network
	// The first disk is the first in the boot order, and the network the second.
	DiskFirst bool
	NIC       string // "virtio-net-pci", "e1000e"
	Memory    int    // MiB
	MAC       string // "" means one that no other machine of the room has
	Second    string // the MAC address of a second network card on the same LAN; "" means that there is none
	UUID      string // what SMBIOS says; "" means that it says nothing
	Password  string // of root on the console, once installed; "" means RootPassword
	// what the hardware clock says at the first moment of each PowerOn, "2001-01-01T00:00:00"; "" means the host's time
	Clock string
	TPM   bool // it has a TPM 2.0, which keeps its state while the power is off
}

// emptyVariables are OVMF's before its first start.
const emptyVariables = "/usr/share/OVMF/OVMF_VARS_4M.fd"

// Machine is a computer on the room's LAN. It is off until PowerOn.
type Machine struct {
	Hardware

	room *Room
	tap  string
	vars string // OVMF's variables: what UEFI remembers while the power is off
	// the file with which the next PowerOn continues, see Snapshot; "" for a start by the firmware
	memory string

	on      time.Time // of the last PowerOn
	process *process
	monitor *monitor
	console *Console
}

// MakeDisk makes a blank disk of size bytes in the room. The file takes only what is written to it.
func (r *Room) MakeDisk(name string, size int64) (string, error) {
	file := r.path(name + ".img")
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return "", fmt.Errorf("making a disk: %w", err)
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return "", fmt.Errorf("making a disk: %w", err)
	}
	return file, nil
}

// Machine puts a machine on the LAN.
func (r *Room) Machine(ctx context.Context, h Hardware) (*Machine, error) {
	r.mu.Lock()
	r.machine++
	n := r.machine
	r.mu.Unlock()
	if h.NIC == "" {
		h.NIC = "virtio-net-pci"
	}
	if h.Memory == 0 {
		h.Memory = 1024
	}
	if h.MAC == "" {
		h.MAC = fmt.Sprintf("52:54:00:77:00:%02x", n)
	}
	if h.Password == "" {
		h.Password = RootPassword
	}
	m := &Machine{Hardware: h, room: r, tap: "tap" + strconv.Itoa(n), vars: r.path(h.Name + ".vars")}
	if err := r.makeTap(ctx, m.tap); err != nil {
		return nil, fmt.Errorf("making machine %s: %w", h.Name, err)
	}
	if h.Second != "" {
		if err := r.makeTap(ctx, m.tap+"b"); err != nil {
			return nil, fmt.Errorf("making machine %s: %w", h.Name, err)
		}
	}
	if h.Firmware == UEFI {
		if err := copyFile(m.vars, emptyVariables); err != nil {
			return nil, fmt.Errorf("making machine %s: %w", h.Name, err)
		}
	}
	return m, nil
}

// Console is the serial line since the last PowerOn.
func (m *Machine) Console() *Console { return m.console }

// PowerOn switches the machine on: the console's transcript begins, and the processor runs.
func (m *Machine) PowerOn(ctx context.Context) error {
	if m.TPM {
		if err := m.startTPM(ctx); err != nil {
			return fmt.Errorf("switching %s on: %w", m.Name, err)
		}
	}
	lines, err := listen(m.room.path(m.Name+".qmp"), m.room.path(m.Name+".serial"))
	if err != nil {
		return fmt.Errorf("switching %s on: %w", m.Name, err)
	}
	defer lines.close()
	if m.process, err = m.room.start(m.Name+".qemu", "lan", "qemu-system-x86_64", m.arguments()...); err != nil {
		return fmt.Errorf("switching %s on: %w", m.Name, err)
	}
	conns, err := lines.accept(ctx, m.process)
	if err != nil {
		return fmt.Errorf("switching %s on: %w", m.Name, err)
	}
	// The processor does not run yet (-S), so nothing is missed.
	if m.console, err = openConsole(m.Name, conns[1], m.room.path(m.Name+".console.log")); err != nil {
		return fmt.Errorf("switching %s on: %w", m.Name, err)
	}
	if m.monitor, err = openMonitor(ctx, m.Name, conns[0]); err != nil {
		return fmt.Errorf("switching %s on: %w; QEMU said:\n%s", m.Name, err, m.process.Output.Tail(5))
	}
	m.on = time.Now()
	// While QEMU reads the memory of a snapshot, this says that the processor runs once it has.
	if err := m.monitor.command(ctx, "cont", nil); err != nil {
		return fmt.Errorf("switching %s on: %w", m.Name, err)
	}
	m.memory = ""
	m.room.logf("%s is on (%s, %s)", m.Name, m.Firmware, m.MAC)
	return nil
}

// PowerCut takes the power away: what the machine had not written to its disk is lost.
func (m *Machine) PowerCut() {
	if m.process == nil {
		return
	}
	m.process.Kill()
	m.monitor.Close()
	m.console.conn.Close()
	m.room.logf("%s is off", m.Name)
}

// SwitchFirmware makes the machine another one with the same disks and network card: for a disk that moves from a
// computer with BIOS to one with UEFI, or back. The machine must be off.
func (m *Machine) SwitchFirmware(to Firmware) error {
	m.Firmware = to
	if to == UEFI {
		if err := copyFile(m.vars, emptyVariables); err != nil {
			return fmt.Errorf("giving %s other firmware: %w", m.Name, err)
		}
	}
	return nil
}

// WaitReset waits until the machine has restarted itself, from the last WaitReset on.
func (m *Machine) WaitReset(ctx context.Context) (machinetest.Line, error) {
	return m.monitor.events.Wait(ctx, `^RESET$`)
}

// WaitOff waits until the machine has switched itself off.
func (m *Machine) WaitOff(ctx context.Context) error {
	select {
	case <-m.process.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s to power off: %w", m.Name, ctx.Err())
	}
}

// Received is how many bytes the LAN has brought to the machine since it was made, with Ethernet headers.
func (m *Machine) Received(ctx context.Context) (int64, error) {
	out, err := m.room.run(ctx, "lan", "cat", "/sys/class/net/"+m.tap+"/statistics/tx_bytes")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(out), 10, 64)
}

// SetLink plugs the cable of the machine's network card in or out.
func (m *Machine) SetLink(ctx context.Context, up bool) error {
	return m.monitor.command(ctx, "set_link", map[string]any{"name": "lan", "up": up})
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w; run make deps", err)
	} else if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(filepath.Clean(to))
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
