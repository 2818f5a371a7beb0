// Package job is the contract between the server and the agent on a machine: which machine it is (Identity, Inventory),
// what the machine has to do (Spec), and what happened (Event).
//
// Start with Client, which speaks the contract over the network; the server's side of it is package api. The types are
// plain data: each survives a round trip through encoding/json, and none refers to a URL, a socket or a clock.
//
// Every string that comes from a machine (SMBIOS, disk models, serials) is hostile: pass it through Printable or
// Sentence before you show or log it.
package job

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Identity is what a machine says about itself. None of it is proved; package fleet decides which part counts.
type Identity struct {
	UUID    string   `json:"uuid,omitempty"`    // SMBIOS type 1 UUID, lower case, "" if absent or all zeros or all ones
	Serial  string   `json:"serial,omitempty"`  // SMBIOS type 1 serial number
	Vendor  string   `json:"vendor,omitempty"`  // SMBIOS type 1 manufacturer
	Product string   `json:"product,omitempty"` // SMBIOS type 1 product name
	MACs    []string `json:"macs"`              // lower case, colon separated; the interface with the lease is first
}

// Inventory is what the agent found in a machine.
type Inventory struct {
	CPU      string `json:"cpu,omitempty"`      // model name as /proc/cpuinfo has it
	CPUs     int    `json:"cpus,omitempty"`     // logical processors
	Memory   int64  `json:"memory,omitempty"`   // bytes
	Firmware string `json:"firmware,omitempty"` // "bios" or "uefi"
	// FirstDrive is the path of the disk that a BIOS has as its first drive: what it starts if not the network. It is
	// "" if that is not known, and on UEFI.
	FirstDrive string `json:"firstDrive,omitempty"`
	Disks      []Disk `json:"disks"`
	NICs       []NIC  `json:"nics,omitempty"`
	Cut        bool   `json:"cut,omitempty"` // there was more than the server keeps
}

// NIC is one network interface.
type NIC struct {
	Name    string `json:"name"`
	MAC     string `json:"mac"`
	Driver  string `json:"driver,omitempty"`
	Carrier bool   `json:"carrier"`
	Address string `json:"address,omitempty"` // CIDR; "" without a lease
	// Neighbour is what it is connected to, as that said by LLDP so far.
	Neighbour Neighbour `json:"neighbour,omitzero"`
}

// Image names one image and its streams, in the order in which the agent applies them. A digest is "sha256:" and 64
// lower-case hex digits; it names a blob that the sources of the Spec serve.
type Image struct {
	Ref      string   `json:"ref"`      // "web:20261120.1@amd64"
	Document string   `json:"document"` // digest of the signed image document
	Size     int64    `json:"size"`     // bytes of the tree's file contents; what a disk must hold at least
	Streams  []Stream `json:"streams"`
}

// Stream is one step of receiving an image: a full stream, or a delta on the step before.
type Stream struct {
	Document string `json:"document"` // digest of the signed stream document
	Index    string `json:"index"`    // digest of the index of the encoding to fetch
	Raw      int64  `json:"raw"`      // bytes, decoded
	Wire     int64  `json:"wire"`     // bytes, encoded
}

// Kind is the purpose of a job.
type Kind string

// The kinds of a job; Erase and the actions have files of their own.
const (
	Install Kind = "install" // write an image to a disk
	Relay   Kind = "relay"   // fetch an image once and send it to the neighbours; uses no disk
	Update  Kind = "update"  // make another root in the pool of an installed machine, and start it
)

// Spec is a job as the machine gets it.
type Spec struct {
	ID    string `json:"id"` // a random UUID, lower case; it also marks the disk while the job is unfinished
	Kind  Kind   `json:"kind"`
	Image Image  `json:"image"`
	// Asked is the image as a person asked for it, such as "web:stable"; "" means Image.Ref.
	Asked string `json:"asked,omitempty"`
	// Kernel is an image with a kernel, its modules and an initrd, for an Image that has none; zero if it has one.
	Kernel Image `json:"kernel,omitzero"`
	// Sources are base URLs that serve GET /v1/blobs/DIGEST, in order of preference. They need no trust. One with https
	// takes the token of the boot, or the key of an installed machine.
	Sources []string `json:"sources"`
	Disk    DiskRule `json:"disk"`
	Erase   string   `json:"erase,omitempty"` // serial, WWN or path of the one disk whose content may be destroyed
	// Layout is a layout.Document: how the disks are to be divided. The job has neither Disk nor Erase then. Only an
	// agent with FeatureLayout gets one.
	Layout json.RawMessage `json:"layout,omitempty"`
	// Plan is the hash of the plan that the person agreed to who ordered the job (plan.Plan.Hash). The agent carries
	// out no other plan. "" agrees to each plan that loses nothing and shrinks nothing.
	Plan string `json:"plan,omitempty"`
	// Level is what an erase has to reach at least; "" leaves that to the disk.
	Level EraseLevel `json:"level,omitempty"`
	// Started names the disk on which this job was started: by its serial, or by another name that no other disk had.
	Started  string   `json:"started,omitempty"`
	Hostname string   `json:"hostname,omitempty"`
	Args     []string `json:"args,omitempty"` // kernel arguments of the installed system
	Home     Home     `json:"home"`
	// Service says that the installed system gets the service that checks in at CheckInPath.
	Service bool `json:"service,omitempty"`
	// Settings says that the machine has settings: the agent asks for them at SettingsPath before it writes to a disk.
	Settings bool `json:"settings,omitempty"`
	// Recovery says that the server has recovery keys for the encrypted partitions of the machine, or makes one for
	// this job: the agent asks for them at RecoveryPath if it needs them.
	Recovery bool `json:"recovery,omitempty"`
	// Kexec says that the machine may start the new root by kexec, without its firmware. If it cannot, it restarts in
	// the ordinary way.
	Kexec bool `json:"kexec,omitempty"`
	// Reset is what of the machine is fresh at each start of the new root. Only an agent with FeatureReset gets one.
	Reset Reset `json:"reset,omitempty"`
	// Pools are those that the server knows of this machine, each as Disk.Installed. An install keeps no other pool. If
	// there are none, the server does not know the machine's pool, and the install keeps the one that it finds.
	Pools []string `json:"pools,omitempty"`

	// Of an update, which has neither Disk nor Home.
	// Pool is Disk.Installed of the disk that has the machine's pool, "" if the server does not know it.
	Pool       string `json:"pool,omitempty"`
	AllowOlder bool   `json:"allowOlder,omitempty"` // the image may be older than the one that runs
	When       When   `json:"when,omitempty"`       // the new root starts

	// Of an action, which has none of the above but ID, Kind and Hostname.
	// Until is when the server takes the action back if the machine has not begun it.
	Until time.Time `json:"until,omitzero"`
	// Root is the one that a rollback starts, as Root.Name; "" for the newest other one that was found good.
	Root string `json:"root,omitempty"`
	// Argv is the program line of a run, and Limit the seconds that it may take, 0 for RunLimit.
	Argv  []string `json:"argv,omitempty"`
	Limit int      `json:"limit,omitempty"`
}

// Home is what the installed system needs to report once that it is up.
type Home struct {
	URL   string `json:"url"`   // https URL on the server
	Token string `json:"token"` // one-time; worthless after the first report
}

// Phase is a step of a job, in the order of Phases.
type Phase string

// The phases of an install.
const (
	PhaseNetwork   Phase = "network"   // interfaces, lease, clock, hello
	PhaseCheck     Phase = "check"     // documents and signatures, disk rule, sizes; nothing is written
	PhasePartition Phase = "partition" // table and filesystems
	PhaseReceive   Phase = "receive"   // the streams
	PhaseVerify    Phase = "verify"    // the tree against its content manifest
	PhaseBootable  Phase = "bootable"  // root, identity, bootloader
	PhaseFinish    Phase = "finish"    // remove the mark, unmount the filesystems
)

// Phases lists every phase of an install in order.
var Phases = []Phase{PhaseNetwork, PhaseCheck, PhasePartition, PhaseReceive, PhaseVerify, PhaseBootable, PhaseFinish}

// State is the state of a job: pending, started, then one of done, failed, cancelled.
type State string

// The states of a job.
const (
	Pending   State = "pending"
	Started   State = "started"
	Done      State = "done"
	Failed    State = "failed"
	Cancelled State = "cancelled"
)

// Level is the severity of an Event.
type Level string

// The levels of an Event.
const (
	Info    Level = "info"
	Warning Level = "warning" // something failed and is tried again
	Error   Level = "error"   // the job ends
)

// Event is one thing that happened on a machine. The same value goes to the machine's screen, the server's
// journal and the operator's terminal.
type Event struct {
	Seq     uint64    `json:"seq"` // from 1, gapless within a boot
	Time    time.Time `json:"time"`
	Job     string    `json:"job,omitempty"`
	Phase   Phase     `json:"phase"`
	Level   Level     `json:"level"`
	Message string    `json:"message,omitempty"` // one line for people
	State   State     `json:"state,omitempty"`   // set where the job's state changes
	// with state started: serial, or path, of the disk that is about to be written
	Disk     string    `json:"disk,omitempty"`
	Progress *Progress `json:"progress,omitempty"`
	// Certificate is what was done to a disk so far; of an erase, where its state changes.
	Certificate *Certificate `json:"certificate,omitempty"`
	// with state done of an install: what starts its system; nil from agents that install only whole disks
	Starts *Starts `json:"starts,omitempty"`
}

// Starts is what starts an installed system after a network boot.
type Starts struct {
	TableID string `json:"tableId"`         // Disk.TableID of the disk with the system: for a BIOS
	Other   string `json:"other,omitempty"` // the same of the other disk of a mirror; "" if there is none
	ESP     string `json:"esp,omitempty"`   // label of the EFI system partition, "" if other systems start from it too
}

// StartsOf says what starts the system of a job that has a disk for itself.
func StartsOf(id string) Starts { return Starts{TableID: id, ESP: ESPLabel(id)} }

// Progress is how much of a phase is done. Rates are bytes per second over the last few seconds.
type Progress struct {
	Done    int64         `json:"done"`  // raw bytes applied
	Total   int64         `json:"total"` // raw bytes in all
	Wire    int64         `json:"wire"`  // encoded bytes received over the network
	WireBps float64       `json:"wireBps"`
	DiskBps float64       `json:"diskBps"`
	Left    time.Duration `json:"left"`              // estimate; negative if unknown
	Stalled bool          `json:"stalled,omitempty"` // no data for 10 s
	Ways    *Ways         `json:"ways,omitempty"`    // of Wire, while an image is received
}

// Percent is Done of Total, 0 to 100; 0 if the total is not known.
func (p Progress) Percent() int {
	if p.Total <= 0 || p.Done <= 0 {
		return 0
	}
	return int(min(100, float64(p.Done)/float64(p.Total)*100))
}

// Printable makes s safe for a screen, a log line or a menu. It removes control characters, invalid UTF-8 and direction
// marks, replaces runs of space by one space, trims the ends, and cuts at 64 runes.
func Printable(s string) string { return printable(s, 64) }

// Sentence is Printable for a message of one line: it cuts at 400 runes.
func Sentence(s string) string { return printable(s, 400) }

func printable(s string, limit int) string {
	var b strings.Builder
	space, n := false, 0
	for _, r := range s {
		if r == unicode.ReplacementChar || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.IsSpace(r) ||
			!unicode.IsPrint(r) {
			space = n > 0
			continue
		}
		if n >= limit || space && n+1 >= limit {
			break
		}
		if space {
			b.WriteByte(' ')
			space = false
			n++
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// Bytes formats a size with three significant digits and a decimal unit, as disk vendors do: "20.0 GB".
func Bytes(n int64) string {
	return scaled(n, 1000, [...]string{"B", "kB", "MB", "GB", "TB", "PB", "EB"})
}

// Binary is Bytes in powers of 1024, as most systems count: "18.6 GiB".
func Binary(n int64) string {
	return scaled(n, 1024, [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"})
}

// Exact is a size as vendors and as systems count, and to the byte: "20.0 GB, 18.6 GiB, 20000000000 bytes".
func Exact(n int64) string {
	if n < 1000 {
		return Bytes(n)
	}
	return fmt.Sprintf("%s, %s, %d bytes", Bytes(n), Binary(n), n)
}

func scaled(n int64, step float64, units [7]string) string {
	f, i := float64(n), 0
	for f >= step-0.5 && i < len(units)-1 {
		f /= step
		i++
	}
	switch {
	case i == 0:
		return fmt.Sprintf("%d B", n)
	case f < 9.995:
		return fmt.Sprintf("%.2f %s", f, units[i])
	case f < 99.95:
		return fmt.Sprintf("%.1f %s", f, units[i])
	}
	return fmt.Sprintf("%.0f %s", f, units[i])
}

// ESPLabel is the FAT volume label (11 characters) of the EFI system partition that the job with this ID makes. It
// differs from job to job, so that it finds the newest system if several disks have one.
func ESPLabel(id string) string {
	hex := strings.ToUpper(strings.ReplaceAll(id, "-", ""))
	if len(hex) < 8 || strings.Trim(hex, "0123456789ABCDEF") != "" {
		return "GRIDDLE-ESP"
	}
	return "GR-" + hex[:8]
}

// MemoryNeeds is the memory, in bytes, that the kernel must report for an install. A machine with 512 MiB reports
// slightly more than this.
const MemoryNeeds = 400 << 20

// DiskNeeds is the smallest disk, in bytes, for an image with size bytes of file contents: the files, a seventh more
// for metadata and for what a chain of deltas replaces, 256 MiB of boot partitions, and 512 MiB of free space.
func DiskNeeds(size int64) int64 { return size + size/7 + 768<<20 }
