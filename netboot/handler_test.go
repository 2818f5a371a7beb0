package netboot

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"griddle/netboot/bios"
	"griddle/netboot/loader"
)

type booterFunc func(Machine) (Spec, error)

func (f booterFunc) Boot(_ context.Context, m Machine) (Spec, error) { return f(m) }

// bootDir has loaders that pass the checks.
func bootDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	pe := make([]byte, 5000)
	copy(pe, "MZ")
	binary.LittleEndian.PutUint32(pe[60:], 64)
	copy(pe[64:], "PE\x00\x00\x64\x86")
	for name, b := range map[string][]byte{loader.BIOS: []byte(strings.Repeat("bios", 1000)), loader.UEFI: pe} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// httpServer is a Server as Listen makes it, without sockets.
func httpServer(t *testing.T, b Booter) *Server {
	t.Helper()
	set, err := loader.Load(bootDir(t), loader.BIOS, loader.UEFI)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{
		conf: Config{HTTPPort: 8080}, mine: netip.MustParsePrefix("10.77.0.1/24"), booter: b,
		log: slog.New(slog.DiscardHandler), routes: newRoutes(),
	}
	s.loaders.set.Store(set)
	return s
}

func get(t *testing.T, s *Server, url string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, url, nil))
	return w.Code, w.Body.String()
}

func TestScript(t *testing.T) {
	const uuid = "11223344-5566-7788-99aa-bbccddeeff01"
	spec := Spec{Action: Agent, Kernel: "/boot/vmlinuz", Initrds: []string{"/boot/initramfs"}, Args: []string{"quiet"}}
	tests := []struct {
		name, query string
		spec        Spec
		err         error
		code        int
		want        []string
	}{
		{"agent", "mac=52:54:00:00:00:01&uuid=" + uuid + "&arch=0", spec, nil, 200,
			[]string{"#!ipxe\n", "kernel http://10.77.0.1:8080/boot/vmlinuz quiet griddle.mac=52:54:00:00:00:01 ||"}},
		{"agent on UEFI", "mac=52-54-00-00-00-01&uuid=&arch=7", spec, nil, 200,
			[]string{"vmlinuz initrd=initramfs quiet"}},
		{"little memory", "mac=52:54:00:00:00:01&arch=0", spec, nil, 200, []string{
			"http://10.77.0.1:8080/boot/bios/memory || goto failed\nimgexec memory || goto small\n", "\n:small\n"}},
		{"platform names", "mac=52:54:00:00:00:01&arch=efi", spec, nil, 200, []string{"initrd=initramfs"}},
		{"local disk", "mac=52:54:00:00:00:01&arch=pcbios", Spec{Action: Local}, nil, 200,
			[]string{"http://10.77.0.1:8080/boot/bios/disk/any ||", "imgexec disk"}},
		{"installed disk", "mac=52:54:00:00:00:01&arch=0",
			Spec{Action: Local, Disk: uuid, Volume: "GR-11223344", Kernel: "/k"}, nil, 200,
			[]string{"http://10.77.0.1:8080/boot/bios/disk/" + uuid + " ||", "item --key a agent",
				"--default local --timeout 4000"}},
		{"installed disk on UEFI", "mac=52:54:00:00:00:01&arch=7",
			Spec{Action: Local, Disk: uuid, Volume: "GR-11223344", Kernel: "/k"}, nil, 200,
			[]string{"chain file://GR-11223344/EFI/BOOT/BOOTX64.EFI ||", "item --key a agent",
				"--default local --timeout 4000"}},
		{"menu", "mac=52:54:00:00:00:01&arch=7", Spec{Action: Menu, Kernel: "/k"}, nil, 200,
			[]string{"choose --default local", "menu Griddle 52:54:00:00:00:01"}},
		{"booter fails", "mac=52:54:00:00:00:01&arch=7", Spec{}, errors.New("no table ${x}\nshell"), 200,
			[]string{"echo Griddle: no table ??x? shell\n", "exit 1"}},
		{"booter gives nonsense", "mac=52:54:00:00:00:01&arch=0", Spec{Action: 9}, nil, 200,
			[]string{"echo Griddle: unknown boot action 9"}},
		{"booter gives a hostile path", "mac=52:54:00:00:00:01&arch=0", Spec{Action: Agent, Kernel: "/x\nshell"}, nil,
			200, []string{"echo Griddle: writing a boot script"}},
		{"no mac", "arch=0", spec, nil, 400, []string{"mac"}},
		{"short mac", "mac=52:54&arch=0", spec, nil, 400, []string{"mac"}},
		{"long mac", "mac=52:54:00:00:00:01:02:03&arch=0", spec, nil, 400, []string{"mac"}},
		{"bad uuid", "mac=52:54:00:00:00:01&uuid=$(x)&arch=0", spec, nil, 400, []string{"uuid"}},
		{"no arch", "mac=52:54:00:00:00:01", spec, nil, 400, []string{"arch"}},
		{"arch of a packet without one", "mac=52:54:00:00:00:01&arch=65535", spec, nil, 400, []string{"arch"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := httpServer(t, booterFunc(func(Machine) (Spec, error) { return tt.spec, tt.err }))
			code, body := get(t, s, "/boot.ipxe?"+tt.query)
			if code != tt.code {
				t.Errorf("status %d, want %d", code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(body, want) {
					t.Errorf("no %q in\n%s", want, body)
				}
			}
			if lines := strings.Split(body, "\n"); strings.Contains(body, "\nshell") {
				t.Errorf("a command got in: %q", lines)
			}
		})
	}
}

// What the Booter is told of the machine.
func TestMachine(t *testing.T) {
	tests := []struct{ query, want string }{
		{"mac=52:54:00:AB:00:01&uuid=11223344-5566-7788-99AA-BBCCDDEEFF01&arch=7",
			"52:54:00:ab:00:01 11223344-5566-7788-99aa-bbccddeeff01 7"},
		{"mac=52:54:00:ab:00:01&uuid=00000000-0000-0000-0000-000000000000&arch=pcbios", "52:54:00:ab:00:01  0"},
		{"mac=52:54:00:ab:00:01&arch=16", "52:54:00:ab:00:01  16"},
	}
	for _, tt := range tests {
		var got string
		s := httpServer(t, booterFunc(func(m Machine) (Spec, error) {
			got = strings.Join([]string{m.MAC.String(), m.UUID, strconv.Itoa(int(m.Arch))}, " ")
			return Spec{Action: Local}, nil
		}))
		if get(t, s, "/boot.ipxe?"+tt.query); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.query, got, tt.want)
		}
	}
}

// A machine whose boot cannot be decided is told to the Observer, once a minute; what is not a request is counted.
func TestScriptRefused(t *testing.T) {
	s := httpServer(t, booterFunc(func(Machine) (Spec, error) { return Spec{}, errors.New("the table is full") }))
	var seen refused
	s.observe = &seen
	for range 3 {
		get(t, s, "/boot.ipxe?mac=52:54:00:00:00:01&arch=0")
	}
	get(t, s, "/boot.ipxe?mac=x")
	if len(seen.all) != 1 || seen.all[0] != "52:54:00:00:00:01: choosing what it boots: the table is full" {
		t.Errorf("refused: %q", seen.all)
	}
	if s.scriptErr.Load() != 3 || s.badScripts.Load() != 1 {
		t.Errorf("%d errors, %d malformed", s.scriptErr.Load(), s.badScripts.Load())
	}
}

func TestOverHTTP(t *testing.T) {
	s := httpServer(t, nil)
	if code, body := get(t, s, "/boot/"+loader.UEFI); code != 200 || !strings.HasPrefix(body, "MZ") {
		t.Errorf("loader: %d, %d bytes", code, len(body))
	}
	want, err := bios.StartDisk("11223344-5566-7788-99aa-bbccddeeff01")
	if err != nil {
		t.Fatal(err)
	}
	if code, body := get(t, s, "/boot/bios/disk/11223344-5566-7788-99aa-bbccddeeff01"); code != 200 ||
		body != string(want) {
		t.Errorf("program that starts a disk: %d, %x", code, body)
	}
	if code, body := get(t, s, "/boot/bios/disk/any"); code != 200 || len(body) != len(want) {
		t.Errorf("program that starts any disk: %d, %x", code, body)
	}
	if code, body := get(t, s, "/boot/bios/memory"); code != 200 || len(body) != 47 {
		t.Errorf("program that checks the memory: %d, %x", code, body)
	}
	for _, path := range []string{"/boot/bios/", "/boot/bios/disk/",
		"/boot/bios/disk/x", "/boot/bios/disk/11223344-5566-7788-99aa-bbccddeeff0x", "/", "/boot/", "/boot/x",
		"/boot/..%2f..%2fetc%2fpasswd", "/etc/passwd"} {
		if code, _ := get(t, s, path); code != 404 {
			t.Errorf("%s: %d, want 404", path, code)
		}
	}
}
