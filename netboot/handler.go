package netboot

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"griddle/netboot/bios"
	"griddle/netboot/bootscript"
	"griddle/netboot/dhcp"
)

// bootTimeout is how long a Booter may take before the machine gets an error script.
const bootTimeout = 10 * time.Second

// Handler serves GET /boot.ipxe?mac=&uuid=&arch= with the boot script that the Booter chose, /boot/NAME with the
// loaders for UEFI HTTP Boot, and /boot/bios/ with the programs of package bios. Everything else is not found.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /boot.ipxe", s.serveScript)
	mux.HandleFunc("GET "+diskPath+"{disk}", serveStartDisk)
	mux.HandleFunc("GET "+memoryPath, serveHasMemory)
	for _, name := range s.loaders.set.Load().Names() {
		mux.HandleFunc("GET /boot/"+name, func(w http.ResponseWriter, r *http.Request) {
			f, err := s.loaders.Open(name)
			if err != nil {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Type", "application/efi")
			http.ServeContent(w, r, "", time.Time{}, f)
		})
	}
	return mux
}

// Where the programs are that BIOS machines run before anything else (package bios). What follows diskPath is the ID of
// a disk's partition table, or anyDisk.
const (
	diskPath   = "/boot/bios/disk/"
	anyDisk    = "any"
	memoryPath = "/boot/bios/memory"
)

// minMemory is how much memory a BIOS must report for the agent to be tried, in MiB. Machines with 512 MiB report some
// less, and some graphics cards take 64 of them.
const minMemory = 416

func serveStartDisk(w http.ResponseWriter, r *http.Request) {
	guid := r.PathValue("disk")
	if guid == anyDisk {
		guid = ""
	}
	serveProgram(w, r)(bios.StartDisk(guid))
}

func serveHasMemory(w http.ResponseWriter, r *http.Request) {
	serveProgram(w, r)(bios.HasMemory(minMemory))
}

func serveProgram(w http.ResponseWriter, r *http.Request) func([]byte, error) {
	return func(b []byte, err error) {
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		w.Write(b)
	}
}

func (s *Server) serveScript(w http.ResponseWriter, r *http.Request) {
	m, err := parseMachine(r.URL.Query())
	if err != nil {
		s.log.Debug("malformed request for a boot script", "from", r.RemoteAddr, "query", r.URL.RawQuery, "err", err)
		s.badScripts.Add(1)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.scripts.Add(1)
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		m.Address = from.Addr().Unmap()
	}
	s.routes.booting([6]byte(m.MAC), time.Now())
	ctx, cancel := context.WithTimeout(r.Context(), bootTimeout)
	defer cancel()
	spec, err := s.booter.Boot(ctx, m)
	var script []byte
	what := spec.Action.String()
	if err == nil {
		script, err = s.script(m, spec)
	}
	if err != nil {
		s.scriptErr.Add(1)
		s.refuse(m, true, "boot script", "choosing what it boots: "+err.Error())
		script, what = bootscript.Failure(s.options(m), err.Error()), "error"
	}
	s.log.Info("boot script", "mac", m.MAC.String(), "uuid", m.UUID, "arch", m.Arch, "action", what)
	if s.observe != nil && err == nil {
		s.observe.Seen(m, "boot script: "+what)
	}
	w.Header().Set("Content-Type", "text/plain; charset=us-ascii")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(script)))
	w.Write(script)
}

// String is the name of the action in logs.
func (a Action) String() string {
	switch a {
	case Menu:
		return "menu"
	case Local:
		return "local disk"
	case Agent:
		return "agent"
	}
	return fmt.Sprintf("action %d", int(a))
}

func (s *Server) options(m Machine) bootscript.Options {
	return bootscript.Options{
		Server: s.BaseURL(), UEFI: m.Arch.UEFI(), Title: m.MAC.String(), Timeout: s.config().MenuTimeout,
		Disk: diskPath + anyDisk, Memory: memoryPath,
	}
}

func (s *Server) script(m Machine, spec Spec) ([]byte, error) {
	o := s.options(m)
	o.Kernel, o.Initrds, o.Volume = spec.Kernel, spec.Initrds, spec.Volume
	if spec.Disk != "" {
		if o.Disk, o.System = diskPath+spec.Disk, true; spec.Other != "" {
			o.Other = diskPath + spec.Other
		}
	}
	o.Args = append(o.Args, spec.Args...)
	const macArg = "griddle.mac="
	named := false
	for _, a := range o.Args {
		named = named || strings.HasPrefix(a, macArg)
	}
	if !named {
		// The agent has to use the card that booted, and the kernel does not know which that was.
		o.Args = append(o.Args, macArg+m.MAC.String())
	}
	switch spec.Action {
	case Local:
		if spec.Disk != "" {
			return bootscript.Installed(o)
		}
		return bootscript.Local(o), nil
	case Agent:
		return bootscript.Agent(o)
	case Menu:
		return bootscript.Menu(o)
	}
	return nil, fmt.Errorf("unknown boot action %d", int(spec.Action))
}

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// parseMachine reads the query that dhcp.Config.ScriptURL makes. arch is a number of option 93, or iPXE's ${platform}
// for scripts that other servers point to us.
func parseMachine(q url.Values) (Machine, error) {
	var m Machine
	mac, err := net.ParseMAC(q.Get("mac"))
	if err != nil || len(mac) != 6 {
		return m, fmt.Errorf("mac %q is not an Ethernet address", q.Get("mac"))
	}
	m.MAC = mac
	// iPXE leaves ${uuid} empty where the firmware has none.
	if id := strings.ToLower(q.Get("uuid")); id != "" {
		if !uuidForm.MatchString(id) {
			return m, fmt.Errorf("uuid %q is not a UUID", q.Get("uuid"))
		}
		if strings.Trim(id, "0-") != "" && strings.Trim(id, "f-") != "" {
			m.UUID = id
		}
	}
	switch a := q.Get("arch"); a {
	case "pcbios":
		m.Arch = BIOS
	case "efi":
		m.Arch = UEFI
	default:
		n, err := strconv.ParseUint(a, 10, 16)
		if err != nil || n == uint64(dhcp.ArchUnknown) {
			return m, fmt.Errorf("arch %q is not an architecture number", a)
		}
		m.Arch = Arch(n)
	}
	return m, nil
}
